"""How a pack's run ended: one code per pack, stored with the forecast, with the remedy."""

from enum import IntEnum


class Outcome(IntEnum):
    """End of one pack's run; failures mask the pack from its last good time on."""

    COMPLETED = 0
    NOT_FINITE = 1
    STATE_OUT_OF_BOUNDS = 2
    AGED_START_INFEASIBLE = 3
    CAPACITY_EXHAUSTED = 4
    REPLACED = 5
    PORES_CLOSED = 6

    @property
    def remedy(self) -> str:
        """What a user can do about this outcome."""
        return _REMEDIES[self]

    @property
    def end_of_life(self) -> bool:
        """Whether the pack itself came to its end, which is a result, not a failure of the run."""
        return self in (Outcome.CAPACITY_EXHAUSTED, Outcome.PORES_CLOSED)


_REMEDIES = {
    Outcome.COMPLETED: "nothing to do",
    Outcome.NOT_FINITE: "a state became NaN or infinite: derate cell.limits in the cold (an SPMe runs out of salt "
    "there), lower cell.stepping.tolerance or check this pack's parameters",
    Outcome.STATE_OUT_OF_BOUNDS: "a concentration or volume fraction left its physical range: lower "
    "cell.stepping.tolerance or narrow the current limits",
    Outcome.AGED_START_INFEASIBLE: "no electrode windows fit this pack's LLI and LAM, or the films of its first life "
    "close its pores: narrow the population, or lower the SEI partial molar volume of the chemistry",
    Outcome.CAPACITY_EXHAUSTED: "a result: the pack kept less than 30 % of its nameplate and was taken out of service",
    Outcome.PORES_CLOSED: "a result: films left less than 5 % of an electrode to the electrolyte, and the pack was "
    "taken out of service",
    Outcome.REPLACED: "a result: the pack was replaced in service and keeps the values of its last day",
}
