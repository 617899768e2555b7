"""Which device of JAX a piece of work belongs on.

What is wide, thousands of lanes at once, goes where JAX puts it: on an accelerator if there is one. What is one long
chain of small steps, such as the dispatch of a site by the minute, takes as long on an accelerator as it takes to start
its kernels one after the other, and belongs on the processor.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import jax
import jax.numpy as jnp

_GROUPED = {"cpu": 512, "gpu": 65536}
"""Lanes that are evaluated at once where they could as well be evaluated in parts."""


@contextmanager
def on_host() -> Iterator[None]:
    """Put what this thread computes on the processor."""
    try:
        host = jax.local_devices(backend="cpu")[0]
    except RuntimeError:
        # JAX_PLATFORMS can leave the processor out.
        yield
        return
    with jax.default_device(host):
        yield


def grouped_lanes() -> int:
    """Return how many lanes the device of this thread evaluates at once at least cost for each."""
    (device,) = jnp.zeros(()).devices()
    return _GROUPED.get(device.platform, _GROUPED["gpu"])
