"""A year of duty for the battery of an AI site, or another service: load, sun, temperature and dispatch."""

from fadecast.duty.climate import Climate, Site
from fadecast.duty.container import Container
from fadecast.duty.cooling import Cooling
from fadecast.duty.dispatch import Dispatch
from fadecast.duty.driving import Driving
from fadecast.duty.inference import Inference
from fadecast.duty.services import Cycling, Regulation
from fadecast.duty.solar import Solar
from fadecast.duty.sources import Generator, Grid, LookAhead
from fadecast.duty.trace import Trace
from fadecast.duty.training import Training
from fadecast.duty.workload import Workload
from fadecast.duty.year import Duty, duty_years, make_duty, years_drawn

__all__ = [
    "Climate",
    "Container",
    "Cooling",
    "Cycling",
    "Dispatch",
    "Driving",
    "Duty",
    "Generator",
    "Grid",
    "Inference",
    "LookAhead",
    "Regulation",
    "Site",
    "Solar",
    "Trace",
    "Training",
    "Workload",
    "duty_years",
    "make_duty",
    "years_drawn",
]
