"""Cells and loads that several tests of the cell engine share."""

from collections.abc import Callable
from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np

from fadecast.cell import aged as ageing
from fadecast.cell import health
from fadecast.cell.aged import Diagnosis, SlowState, lift
from fadecast.cell.control import Delivery, Held, Limits, Setting, hold
from fadecast.cell.health import fresh_mid_stoichiometry, laboratory_protocol, stoichiometry_at
from fadecast.cell.lowering import Inputs
from fadecast.cell.model import AMBIENT, CellModel, Chemistry, build_cell
from fadecast.cell.protocol import Record, run_protocol
from fadecast.cell.quadrature import Rule
from fadecast.cell.stepper import take_step
from fadecast.population.evidence import single_fits

# Limits that nothing in these tests meets.
WIDE = Limits(
    charge_c_rate=10.0,
    discharge_c_rate=10.0,
    charge_derating=(),
    discharge_derating=(),
    soc_min=0.0,
    soc_max=1.0,
    salt=None,
)

# A fresh cell and cells of 91, 79, 71, 60 and 51 % SOH.
LLI, LAM = [0.0, 0.09, 0.22, 0.3, 0.4, 0.49], [0.0, 0.05, 0.2, 0.28, 0.38, 0.46]
LANES = len(LLI)

# Step by step, each of hundreds of operations would be compiled by itself.
aged_state = jax.jit(ageing.aged_state, static_argnums=(0, 2))
check_up = jax.jit(health.check_up, static_argnums=0)
electrode_window = jax.jit(health.electrode_window, static_argnums=0)


@cache
def fitted_chemistry() -> Chemistry:
    """OKane2022 with the fitted ageing rates: fast enough that errors show."""
    return Chemistry(parameters={rate.name: rate.value for rate in single_fits()})


@cache
def fitted_cell() -> CellModel:
    return build_cell(fitted_chemistry())


def aged(cell: CellModel, lli: list[float], lam: list[float]) -> SlowState:
    """Cells of given LLI, both electrodes having lost the same share."""
    losses = jnp.asarray([lli]), jnp.asarray([lam]), jnp.asarray([lam])
    hidden = jnp.full((1, len(lli)), 0.1), jnp.full((1, len(lli)), 2e-8)
    return aged_state(cell, Diagnosis(*losses, *hidden), fresh_mid_stoichiometry(cell))


def inputs_of(cell: CellModel, lanes: int) -> Inputs:
    return {name: jnp.full((1, lanes), value) for name, value in cell.inputs.items()}


def noisy_power(steps: int, lanes: int, watts: float, seed: int = 0) -> np.ndarray:
    """Zero-mean load that jumps at each step, shape `(steps, lanes)` [W]."""
    pairs = np.random.default_rng(seed).normal(0.0, watts, ((steps + 1) // 2, lanes))
    return np.stack([pairs, -pairs], axis=1).reshape(-1, lanes)[:steps]


@partial(jax.jit, static_argnums=0)
def lift_at(cell: CellModel, slow: SlowState, state_of_charge: float, kelvin: float = 298.15) -> jax.Array:
    """Rested cells at a state of charge and a temperature."""
    lanes = slow.sei.shape[1]
    window = electrode_window(cell, slow, inputs_of(cell, lanes))
    stoichiometry = stoichiometry_at(window, jnp.full((1, lanes), state_of_charge))
    return lift(cell, slow, stoichiometry, jnp.full((1, lanes), kelvin))


@cache
def laboratory() -> tuple[CellModel, SlowState, jax.Array, jax.Array, Record]:
    """Return the cells above, their states before and after a laboratory check-up at 25 degC, and its record."""
    cell = fitted_cell()
    slow = aged(cell, LLI, LAM)
    y = lift_at(cell, slow, 0.5)
    inputs = {**inputs_of(cell, LANES), AMBIENT: jnp.full((1, LANES), 298.15)}
    end, record = run_protocol(cell, y, inputs, laboratory_protocol(cell))
    return cell, slow, y, end, Record(*(np.asarray(values) for values in record))


def equal_steps(
    cell: CellModel, inputs: Inputs, current: jax.Array, start: jax.Array, seconds: float = 1200.0
) -> Callable[[int], jax.Array]:
    """Return the state after some time at a current as a function of the number of time steps."""

    def control(state, guess, iterations):
        return hold(cell, state, inputs, Setting.of(Held.CURRENT, current), guess, iterations)

    @jax.jit
    def end(steps):
        def advance(_, y):
            guess = Delivery(current, current, y[:0])
            return take_step(cell, Rule(3, 4), y, inputs, control, guess, jnp.asarray(seconds / steps)).y

        return jax.lax.fori_loop(0, steps, advance, start)

    return end
