"""Which states of a cell are advanced how."""

from dataclasses import dataclass
from functools import cache

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from fadecast.cell.model import CellModel
from fadecast.cell.modes import diffusion_modes, fresh_at_rest

_RELAXING = ("plated", "hysteresis", "surface_potential")
"""Beginnings of the names of states that relax within seconds or minutes, each by itself."""

_BARE = ("sei_cracks",)
"""Beginnings of the names of films that start bare."""

# Least square of a film: a prediction must not take it below nothing.
_THINNEST = 1e-24


@dataclass(frozen=True)
class Partition:
    """Rows of the state vector that are neither modes nor algebraic."""

    relaxing: np.ndarray
    """States that follow a linear equation of their own."""
    rest: np.ndarray
    """States that are integrated by quadrature: ageing, temperature, charge counters."""
    squared: np.ndarray
    """Which of the rest are followed as their squares, shape `(rows, 1)`."""
    share: np.ndarray
    """Fraction of a cell (its lithium, its active material) that one unit of each row of the rest and then of the
    relaxing states is; 0 where it is not ageing. Shape `(rows, 1)`."""
    spans: tuple[tuple[slice, slice], ...]
    """Contiguous runs of the rest: rows in the state and rows in the rest."""
    relaxing_spans: tuple[tuple[slice, slice], ...]

    @property
    def relaxes(self) -> bool:
        """Whether anything relaxes."""
        return len(self.relaxing) > 0

    def read(self, y: Float[Array, "states lanes"]) -> Float[Array, "rest lanes"]:
        """Rows of the rest, squared where they are followed so."""
        rest = self._rows(y)
        return jnp.where(self.squared, rest**2, rest) if self.squared.any() else rest

    def rates(self, rhs: Float[Array, "states lanes"], rest: Float[Array, "rest lanes"]) -> Float[Array, "rest lanes"]:
        """Rates of what `read` gives, where it is `rest`."""
        rates = self._rows(rhs)
        return jnp.where(self.squared, 2.0 * self._plain(rest) * rates, rates) if self.squared.any() else rates

    def write(self, y: Float[Array, "states lanes"], rest: Float[Array, "rest lanes"]) -> Float[Array, "states lanes"]:
        """Put the rest into a state."""
        for where, value in self.rest_parts(rest):
            y = y.at[where].set(value)
        return y

    def rest_parts(self, rest: Float[Array, "rest lanes"]) -> list[tuple[slice, Array]]:
        """Return the rest as parts of a state."""
        plain = self._plain(rest)
        return [(where, plain[inside]) for where, inside in self.spans]

    def change(
        self, start: Float[Array, "rest lanes"], end: Float[Array, "rest lanes"], part: Float[Array, "rest lanes"]
    ) -> Float[Array, "rest lanes"]:
        """Return what a part of the change of the rest from start to end is of the states themselves."""
        if not self.squared.any():
            return part
        return jnp.where(self.squared, part / (self._plain(start) + self._plain(end)), part)

    def _rows(self, y: Float[Array, "states lanes"]) -> Float[Array, "rest lanes"]:
        return jnp.concatenate([y[where] for where, _ in self.spans])

    def _plain(self, rest: Float[Array, "rest lanes"]) -> Float[Array, "rest lanes"]:
        if not self.squared.any():
            return rest
        return jnp.where(self.squared, jnp.sqrt(jnp.where(self.squared, jnp.maximum(rest, _THINNEST), 1.0)), rest)

    def relaxing_parts(self, relaxing: Float[Array, "relaxing lanes"]) -> list[tuple[slice, Array]]:
        """Return the relaxing states as parts of a state."""
        return [(where, relaxing[inside]) for where, inside in self.relaxing_spans]

    def temperature(self, cell: CellModel, rest: Float[Array, "rest lanes"]) -> Float[Array, "1 lanes"]:
        """Cell temperature [K]; 0 where it is not a state."""
        if "temperature" not in cell.rows:
            return jnp.zeros_like(rest[:1])
        rows = cell.rows["temperature"]
        index = int(np.flatnonzero(self.rest == rows.start)[0])
        return float(cell.reference[rows.start]) + float(cell.scale[rows.start]) * rest[index : index + 1]


class SteppingError(NotImplementedError):
    """A cell that can be evaluated but not followed in time."""


@cache
def partition(cell: CellModel) -> Partition:
    """Sort the differential states of a cell.

    Raises
    ------
    SteppingError
        When the cell has algebraic states, whose coupling to surface fluxes the time steps take explicitly: that is
        neither accurate nor always stable.
    """
    if cell.differential < len(cell.initial_state):
        raise SteppingError(
            "time steps know no cell with algebraic states: choose no surface form, one phase in each electrode and "
            "symmetric Butler-Volmer kinetics. Its rates, voltage and outputs can be evaluated all the same "
            "(`build_cell`)"
        )
    in_modes = {row for block in diffusion_modes(cell) for row in range(block.rows.start, block.rows.stop)}
    relaxing, rest, squared, share = [], [], [], {}
    for name, rows in sorted(cell.rows.items(), key=lambda item: item[1].start):
        for row in range(rows.start, min(rows.stop, cell.differential)):
            if row in in_modes:
                continue
            if name.startswith(_RELAXING):
                relaxing.append(row)
            else:
                rest.append(row)
                squared.append(name.startswith(_BARE) and _is_singular(cell, row))
            share[row] = _share(cell, name) * cell.scale[row] / (rows.stop - rows.start)
    shares = np.array([share[row] for row in [*rest, *relaxing]])[:, None]
    return Partition(
        relaxing=np.array(relaxing, int),
        rest=np.array(rest, int),
        squared=np.array(squared, bool)[:, None],
        share=shares,
        spans=_spans(rest),
        relaxing_spans=_spans(relaxing),
    )


def _is_singular(cell: CellModel, row: int) -> bool:
    """Tell whether the rate of a bare film goes as one over its thickness: that of the square is then finite.

    So it is where growth is limited by transport through the film, and not where it is limited by a reaction.
    """
    jacobian, values = fresh_at_rest(cell)
    return bool(jacobian[row, row] * cell.initial_state[row] < -0.5 * values["rhs"][row, 0])


def _share(cell: CellModel, name: str) -> float:
    """Return the fraction of a cell that one unit [mol, mol.m-3, 1 or m] of a state is."""
    family = name.removesuffix("_primary").removesuffix("_secondary")
    if family.startswith("active_fraction"):
        return 1.0 / cell.phases[name.removeprefix("active_fraction_")].active_fraction
    if family.startswith("lam_lithium"):
        return 1.0 / cell.fresh_lithium
    if family in ("sei", "sei_cracks", "plated", "dead"):
        volume = next(phase.volume for side, phase in cell.phases.items() if side.startswith("ne"))
        return volume * (cell.lithium_per_sei if family.startswith("sei") else 1.0) / cell.fresh_lithium
    if family.startswith("crack_length"):
        return 1.0 / float(cell.initial_state[cell.rows[name]][0] * cell.scale[cell.rows[name]][0])
    return 1.0 if family.startswith("porosity") else 0.0


def _spans(rows: list[int]) -> tuple[tuple[slice, slice], ...]:
    if not rows:
        return ()
    breaks = np.flatnonzero(np.diff(rows) != 1) + 1
    runs = np.split(np.arange(len(rows)), breaks)
    return tuple((slice(rows[run[0]], rows[run[-1]] + 1), slice(int(run[0]), int(run[-1]) + 1)) for run in runs)
