"""ArviZ, whose import announces its next version as a warning."""

import warnings
from functools import cache
from types import ModuleType


@cache
def arviz() -> ModuleType:
    """Return the library."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="\\s*ArviZ is undergoing a major refactor", category=FutureWarning)
        import arviz as az
    return az
