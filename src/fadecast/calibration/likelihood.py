"""How likely what was measured of cells is, given how they age (`joint_model`)."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from fadecast.calibration.joint_model import YEAR, Evidence, Series, Unfolded, log_spreads, overhang, unfold
from fadecast.calibration.laws import AgeingLaw
from fadecast.calibration.rate_tables import QUANTITIES, Table, chosen, tabulated, tabulated_along

FREEDOM = 5.0
"""Of Student's distribution of what is left at a check-up: some are off by more than the rest suggest."""
_TEST_CELLS = 3.0
"""Cells behind the mean of a storage series."""
_STARTS = 128
"""Values of the material lost before that the likelihood of a cell in a second life is summed over: with half as many
log densities of the posterior's draws are off by up to 1.3, with these by 0.02."""
_CAPACITY, _MATERIAL = (QUANTITIES.index(name) for name in ("capacity", "lam_ne"))


def predicted(law: AgeingLaw, evidence: Evidence, z: Float[Array, " n"]) -> tuple[Array, Array, Unfolded]:
    """Losses of stored and of cycled cells at their check-ups, `(cells, quantities, times)` [1].

    Of cells in a second life, the mean over what they can have lost before, given their own check-ups.
    """
    found = unfold(law, evidence, z)
    stored, cycled = _rows_of(law, evidence, measured=False)
    count = len(evidence.stored.temperature)
    of_stored = _losses(stored, found.stored, found.growth[:count], found.common).reshape(evidence.stored.losses.shape)
    if not law.start:
        of_cycled = _losses(cycled, found.cycled, found.growth[count:], found.common)
        return of_stored, of_cycled.reshape(evidence.cycled.losses.shape), found
    worn = _worn(law, found, cycled)
    given = jax.nn.softmax(worn.together() + worn.weight[None], axis=1)
    capacity = (worn.lost * given[:, None]).sum(2)[:, None]
    return of_stored, jnp.pad(capacity, ((0, 0), (0, len(QUANTITIES) - 1), (0, 0))), found


def pointwise(law: AgeingLaw, evidence: Evidence, z: Float[Array, " n"]) -> tuple[Array, Array]:
    """Log densities of what was measured of stored and cycled cells, `(cells, quantities, times)`; 0 where not.

    Of cells in a second life only capacity was, and each check-up stands alone.
    """
    found = unfold(law, evidence, z)
    stored, cycled = _rows_of(law, evidence, measured=False)
    parts = [
        part.reshape(series.losses.shape)
        for part, series in zip(_likely_new(law, found, stored, cycled), evidence[:2], strict=False)
    ]
    if not law.start:
        return parts[0], parts[1]
    worn = _worn(law, found, cycled)
    each = _of_tail(jnp.log(worn.tail), worn.variance)
    alone = jax.scipy.special.logsumexp(each + worn.weight[None, None], axis=2)
    return parts[0], jnp.where(cycled.known, alone, 0.0)[:, None]


def student(left: Array, variance: Array) -> Array:
    """Return the log density of Student's distribution about 0; `variance` is the square of its scale."""
    return _of_tail(jnp.log(_tail(left, variance)), variance)


def _tail(left: Array, variance: Array) -> Array:
    """Return what grows as Student's density falls: but for a constant, that density is a power of it."""
    return 1.0 + left**2 * (1.0 / (FREEDOM * variance))


def _of_tail(log_tail: Array, variance: Array, count: int | np.ndarray = 1) -> Array:
    """Return the log density of so many, by the logarithm of the product of their tails."""
    constant = (
        jax.scipy.special.gammaln(0.5 * (FREEDOM + 1.0))
        - jax.scipy.special.gammaln(0.5 * FREEDOM)
        - 0.5 * np.log(FREEDOM * np.pi)
    )
    return count * (constant - 0.5 * jnp.log(variance)) - 0.5 * (FREEDOM + 1.0) * log_tail


@jax.custom_jvp
def _log_product(values: Float[Array, "cells rows starts"]) -> Float[Array, "cells starts"]:
    # One logarithm in place of many; with derivatives of JAX's own it would take longer than these. It is finite
    # where thirty check-ups are each ten thousand times the noise away.
    return jnp.log(jnp.prod(values, axis=1))


@_log_product.defjvp
def _log_product_jvp(values: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    return _log_product(*values), (tangents[0] / values[0]).sum(1)


def log_density(law: AgeingLaw, evidence: Evidence, kept: Float[Array, " cells"], z: Float[Array, " n"]) -> Array:
    """Log of the density of unknowns and measurements; `kept` is how much of each cell is known, stored first."""
    found = unfold(law, evidence, z)
    # Whoever samples asks for this millions of times: of what was measured alone.
    stored, cycled = _rows_of(law, evidence, measured=True)
    each = [part.sum(1) for part in _likely_new(law, found, stored, cycled)]
    if law.start:
        worn = _worn(law, found, cycled)
        each.append(jax.scipy.special.logsumexp(worn.together() + worn.weight[None], axis=1))
    spreads = log_spreads(law, evidence, z)
    return (kept * jnp.concatenate(each)).sum() - (0.5 * (z * jnp.exp(-spreads)) ** 2 + spreads).sum()


class _Rows(NamedTuple):
    """Losses of cells that are asked for, padded: rows of a cell that are not known have no density."""

    series: Series
    table: Table
    """Of these rows alone."""
    quantity: Int[np.ndarray, "cells rows"]
    """Number in `QUANTITIES`."""
    number: Int[np.ndarray, "cells rows"]
    """Of the check-up, from 1."""
    days: Float[np.ndarray, "cells rows"]
    spread: Float[np.ndarray, "cells rows"]
    """See `Series.spread`."""
    loss: Float[np.ndarray, "cells rows"]
    """As measured [1]; 0 where not known."""
    known: Bool[np.ndarray, "cells rows"]


def _rows_of(law: AgeingLaw, evidence: Evidence, measured: bool) -> tuple[_Rows, _Rows]:
    """Return rows of stored and of cycled cells: of all check-ups, or of what was measured alone."""
    # Of second lives only capacity was measured.
    cycled_count = 1 if law.start else len(QUANTITIES)
    kinds = (
        (evidence.stored, evidence.stored_table, len(QUANTITIES)),
        (evidence.cycled, evidence.cycled_table, cycled_count),
    )
    stored, cycled = (
        _rows(series, table, np.isfinite(series.losses[:, :count]) | (not measured)) for series, table, count in kinds
    )
    return stored, cycled


def _rows(series: Series, table: Table, asked: Bool[np.ndarray, "cells quantities times"]) -> _Rows:
    flat = asked.reshape(len(asked), math.prod(asked.shape[1:]))
    order = np.argsort(~flat, axis=1, kind="stable")[:, : flat.sum(1).max(initial=1)]
    quantity, time = np.unravel_index(order, asked.shape[1:])
    cells = np.arange(len(asked))[:, None]
    loss = series.losses[cells, quantity, time]
    known = np.isfinite(loss)
    return _Rows(
        series,
        chosen(table, quantity, time),
        quantity,
        time + 1,
        series.days[cells, time],
        series.spread[cells, time],
        np.where(known, loss, 0.0),
        known,
    )


def _losses(rows: _Rows, logs: Array, growth: Array, common: dict[str, Array]) -> Float[Array, "cells rows"]:
    """Losses that check-ups of cells that were new find."""
    root = jnp.sqrt(rows.number)
    beside = overhang(common, rows.series.temperature, rows.series.charge, rows.days)
    beside = beside + growth[:, None] * rows.days / YEAR + common["check_up"] * root
    material = jnp.where(rows.quantity == _MATERIAL, common["check_up_material"] * root, 0.0)
    return tabulated(rows.table, logs) + jnp.where(rows.quantity == _CAPACITY, beside, material)


def _likely_new(law: AgeingLaw, found: Unfolded, stored: _Rows, cycled: _Rows) -> list[Float[Array, "cells rows"]]:
    """Log densities of stored cells, and of cycled ones where they were new; 0 where nothing is known."""
    count, common = len(stored.quantity), found.common
    cells, parts = [(stored, found.stored, found.growth[:count])], []
    if not law.start:
        cells.append((cycled, found.cycled, found.growth[count:]))
    for rows, logs, growth in cells:
        capacity = rows.quantity == _CAPACITY
        of_capacity = common["noise"] ** 2 + rows.spread**2 / _TEST_CELLS
        variance = jnp.where(jnp.asarray(capacity), of_capacity, common["noise_material"] ** 2)
        left = jnp.asarray(rows.loss) - _losses(rows, logs, growth, common)
        parts.append(jnp.where(rows.known, student(left, variance), 0.0))
    return parts


class _Worn(NamedTuple):
    """Cells in a second life, by what they can have lost before."""

    lost: Float[Array, "cells rows starts"]
    """Capacity [1]. They are worked whole all the time, and begin when the overhang has given what it had."""
    tail: Float[Array, "cells rows starts"]
    """See `_tail`; 1 where nothing is known."""
    variance: Float[Array, ""]
    """Of what is left."""
    counts: Int[np.ndarray, " cells"]
    """Of check-ups that are known."""
    weight: Float[Array, " starts"]
    """Logarithm of how likely a start is beforehand."""

    def together(self) -> Float[Array, "cells starts"]:
        """Return the log density of all check-ups of each cell, which have what it lost before in common."""
        return _of_tail(_log_product(self.tail), self.variance, self.counts[:, None])


def _worn(law: AgeingLaw, found: Unfolded, rows: _Rows) -> _Worn:
    starts = jnp.linspace(*law.start[0].reach, _STARTS)
    lost, variance = tabulated_along(rows.table, found.cycled, starts), found.common["noise_second"] ** 2
    tail = _tail(jnp.asarray(rows.loss)[..., None] - lost, variance)
    apart = (starts - found.rates[-1]) / found.common["start_sd"]
    # The trapezoidal rule.
    share = np.log(np.where(np.isin(np.arange(_STARTS), (0, _STARTS - 1)), 0.5, 1.0))
    return _Worn(
        lost,
        jnp.where(rows.known[..., None], tail, 1.0),
        variance,
        rows.known.sum(axis=1),
        jax.nn.log_softmax(share - 0.5 * apart**2),
    )
