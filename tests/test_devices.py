"""What runs where. Two virtual devices stand for a processor and an accelerator; JAX counts devices only once."""

import os
import subprocess
import sys

import jax
import jax.numpy as jnp

from fadecast import devices
from fadecast.devices import grouped_lanes, on_host


def place() -> int:
    (device,) = jax.jit(jnp.cos)(jnp.zeros(3)).devices()
    return device.id


def look() -> None:
    """Find where things are put, on two devices."""
    host, other = jax.devices()
    with jax.default_device(other):
        made = jnp.ones(3)
        assert place() == other.id
        with on_host():
            assert place() == host.id
            # What is made elsewhere and not bound there comes along.
            assert jax.jit(jnp.sin)(made).devices() == {host}
        assert place() == other.id


def test_a_chain_of_small_steps_is_put_on_the_processor_and_nothing_else_is():
    environment = {**os.environ, "XLA_FLAGS": "--xla_force_host_platform_device_count=2"}
    program = [sys.executable, "-c", "from tests.test_devices import look; look()"]
    subprocess.run(program, check=True, env=environment, cwd=os.path.dirname(os.path.dirname(__file__)))


def test_without_a_processor_all_stays_where_it_is(monkeypatch):
    def none(**_):
        raise RuntimeError("Unknown backend cpu")

    monkeypatch.setattr(jax, "local_devices", none)
    with on_host():
        assert place() == jax.devices()[0].id


def test_a_device_of_a_kind_that_is_not_known_counts_as_wide(monkeypatch):
    wide = devices._GROUPED["gpu"]
    assert grouped_lanes() == devices._GROUPED["cpu"] < wide
    monkeypatch.delitem(devices._GROUPED, "cpu")
    assert grouped_lanes() == wide
