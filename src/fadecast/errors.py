"""The two ways a command ends early: the input is wrong, or a run failed."""


class InputError(ValueError):
    """What the user gave is wrong: the message names file, key, value and what is allowed."""


class RunError(RuntimeError):
    """A run cannot go on; the message says what a user can do."""
