"""The population: how degraded packs are when second life starts, and what is not known of their ageing."""

from fadecast.population.evidence import degradation_modes, retired_classes
from fadecast.population.groups import Groups
from fadecast.population.population import ClassShare, Population, make_population
from fadecast.population.posterior_rates import in_service
from fadecast.population.priors import LogNormalPrior, RatePrior, SharePrior

__all__ = [
    "ClassShare",
    "Groups",
    "LogNormalPrior",
    "Population",
    "RatePrior",
    "SharePrior",
    "degradation_modes",
    "in_service",
    "make_population",
    "retired_classes",
]
