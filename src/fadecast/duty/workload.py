"""Power of the computing racks: accelerators that train and infer, and the servers around them."""

from dataclasses import dataclass, field
from typing import Annotated

import numpy as np
from annotated_types import Ge, Gt, Le
from jaxtyping import Float

from fadecast.duty.cooling import Cooling
from fadecast.duty.inference import Inference, Requests, Serving, inference_power
from fadecast.duty.trace import Trace, read_trace, trace_power
from fadecast.duty.training import AcceleratorPower, Training, training_power
from fadecast.package_data import shipped
from fadecast.settings import settings


@settings
class Workload:
    """What the site computes, in proportion to the packs: a small study is a small reference site."""

    accelerators_per_pack: Annotated[float, Ge(0)] = 2.5
    """Accelerators per pack [1] (reference site: about 2,000 on 805 packs)."""
    kw_per_accelerator: Annotated[float, Gt(0)] = 1.275
    """Rated server power per accelerator [kW] (NVIDIA DGX H100: 10.2 kW for eight)."""
    trace: Trace | None = None
    """Measured power in place of a drawn one; training and inference then do not matter."""
    training_share: Annotated[float, Ge(0), Le(1)] = 0.5
    """Share of accelerators that train; the rest infer [1] (assumed)."""
    curtailable_share: Annotated[float, Ge(0), Le(1)] = 0.0
    """Share of the load of computing and its cooling that can be put off [1]; what is, is not made up for."""
    training: Training = field(default_factory=Training)
    """How the training share is used."""
    inference: Inference = field(default_factory=Inference)
    """How the inference share is used."""
    cooling: Cooling = field(default_factory=Cooling)
    """What cooling and distribution add."""

    @property
    def rated_kw_per_pack(self) -> float:
        """Rated power of the racks per pack [kW]."""
        return self.accelerators_per_pack * self.kw_per_accelerator


@dataclass(frozen=True, eq=False)
class Measured:
    """Every measured statistic that the workload draws from."""

    accelerator: AcceleratorPower
    requests: Requests
    serving: Serving
    server_offset: float
    """Power of a server whose accelerators draw none, over its power with all at rated power [1]."""

    @classmethod
    def load(cls) -> "Measured":
        """Return the statistics that ship with the package."""
        offset: float = shipped("ai_load")["server"]["offset"]
        return cls(AcceleratorPower.measured(), Requests.measured(), Serving.measured(), offset)


def draw_it_power(
    rng: np.random.Generator, workload: Workload, measured: Measured, step_minutes: int
) -> Float[np.ndarray, "step"]:
    """Draw a year of rack power over its rated power [1], as means over steps, or take it from a trace.

    The same generator state gives the same year at any step length: a longer step is the mean of shorter.
    """
    if workload.trace is not None:
        return trace_power(rng, read_trace(workload.trace), step_minutes)
    train, infer = rng.spawn(2)
    share = workload.training_share
    accelerator = share * training_power(train, workload.training, measured.accelerator, step_minutes)
    accelerator += (1 - share) * inference_power(
        infer, workload.inference, measured.requests, measured.serving, step_minutes
    )
    return measured.server_offset + (1 - measured.server_offset) * accelerator
