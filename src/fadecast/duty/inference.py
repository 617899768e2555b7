"""Power of the inference share: measured request rate through the measured throughput-to-power relation.

The rate has a mean course over the day, times a residual with a fast and a slow memory. In two weeks of
production traffic the course over the week of one predicts the other worse than the course over the day
(relative error 0.30 against 0.23), so there is no weekly course. Hours are taken to be those of the site.
"""

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from annotated_types import Gt, Le
from jaxtyping import Float

from fadecast.duty.sun import HOURS
from fadecast.duty.tables import from_normal, red_noise
from fadecast.package_data import shipped
from fadecast.settings import settings


@settings
class Inference:
    """How the inference servers are used."""

    utilisation: Annotated[float, Gt(0), Le(1)] = 0.5
    """Mean request rate over what the servers can serve at most [1] (assumed). Requests beyond capacity are
    turned away."""


@dataclass(frozen=True, eq=False)
class Requests:
    """Statistics of the request rate."""

    hour_of_day: Float[np.ndarray, "24"]
    """Mean rate by hour of the day over the mean rate [1]."""
    residual: Float[np.ndarray, "level"]
    """Equally spaced quantiles of rate over its mean course [1]."""
    fast_share: float
    """Share of the residual's variance (of its normal scores) that has the fast memory [1]."""
    fast_hours: float
    """Time constant of the fast memory [h]."""
    slow_hours: float
    """Time constant of the slow memory [h]."""

    @classmethod
    def measured(cls) -> "Requests":
        """Return the statistics of ServeGen (Xiang et al. 2025, arXiv:2505.09999)."""
        table = shipped("ai_load")["requests"]
        return cls(
            hour_of_day=np.array(table["hour_of_day"]),
            residual=np.array(table["residual"]),
            fast_share=table["fast_share"],
            fast_hours=table["fast_hours"],
            slow_hours=table["slow_hours"],
        )

    def correlation(self, lag_hours: Float[np.ndarray, "lag"]) -> Float[np.ndarray, "lag"]:
        """Return the autocorrelation of the residual's normal scores [1]."""
        fast, slow = np.exp(-lag_hours / self.fast_hours), np.exp(-lag_hours / self.slow_hours)
        return self.fast_share * fast + (1 - self.fast_share) * slow


@dataclass(frozen=True)
class Serving:
    """Accelerator power while serving over rated power [1]: idle + (full - idle) x throughput ** exponent."""

    idle: float
    full: float
    exponent: float

    @classmethod
    def measured(cls) -> "Serving":
        """Return the relation fitted to H100 chat serving (Chung et al. 2025, ML.ENERGY benchmark)."""
        table = shipped("ai_load")["serving"]
        return cls(idle=table["idle"], full=table["full"], exponent=table["exponent"])

    def power(self, throughput: Float[np.ndarray, "n"]) -> Float[np.ndarray, "n"]:
        """Return power over rated power for throughput over the highest throughput."""
        return self.idle + (self.full - self.idle) * throughput**self.exponent


def request_rate(rng: np.random.Generator, requests: Requests, step_minutes: int) -> Float[np.ndarray, "step"]:
    """Draw a year of request rate over its mean [1]."""
    count = HOURS * 60 // step_minutes
    hour = (np.arange(count) + 0.5) * step_minutes / 60
    fast, slow = (
        red_noise(rng, count, float(np.exp(-step_minutes / 60 / hours)))
        for hours in (requests.fast_hours, requests.slow_hours)
    )
    score = np.sqrt(requests.fast_share) * fast + np.sqrt(1 - requests.fast_share) * slow
    course = np.interp(hour, np.arange(24) + 0.5, requests.hour_of_day, period=24)
    return np.asarray(course * from_normal(score, requests.residual))


def inference_power(
    rng: np.random.Generator, inference: Inference, requests: Requests, serving: Serving, step_minutes: int
) -> Float[np.ndarray, "step"]:
    """Return a year of mean accelerator power over rated power [1]."""
    rate = request_rate(rng, requests, 1)
    power = serving.power(np.minimum(inference.utilisation * rate, 1.0))
    return np.asarray(power.reshape(-1, step_minutes).mean(axis=1))
