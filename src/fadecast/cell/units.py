"""Units of the state vector: PyBaMM scales its states, by parameters that may differ from lane to lane."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
import pybamm
from jaxtyping import Array, Float

from fadecast.cell.discretised import Discretised
from fadecast.cell.lowering import Inputs, lower
from fadecast.cell.parameters import AMBIENT, CURRENT
from fadecast.cell.pieces import State, pieces_of

Values = dict[str, Float[Array, "n lanes"]]
Evaluate = Callable[[State, Inputs], Values]


@dataclass(frozen=True)
class Units:
    """Units of the state vector: PyBaMM's at default inputs, the same for all lanes."""

    scale: np.ndarray
    reference: np.ndarray
    lane: Evaluate | None
    """PyBaMM's own scale and reference where a varied parameter is part of them, else None."""

    @classmethod
    def of(cls, variables: Mapping[str, tuple[pybamm.Variable, slice]], found: Discretised) -> "Units":
        """Find the units of the state variables of a discretised model."""
        states = max(where.stop for _, where in variables.values())
        symbols = {
            kind: pybamm.numpy_concatenation(
                *(getattr(v, kind) * pybamm.Vector(np.ones(w.stop - w.start)) for v, w in variables.values())
            )
            for kind in ("scale", "reference")
        }
        varies = any(s.has_symbol_of_classes(pybamm.InputParameter) for s in symbols.values())
        scale, reference = (
            np.broadcast_to(np.asarray(s.evaluate(inputs=dict(found.inputs)), float).ravel(), states).copy()
            for s in symbols.values()
        )
        return cls(scale, reference, lower(symbols) if varies else None)

    def fixed(self, evaluate: Evaluate, equations: Mapping[str, slice]) -> Evaluate:
        """Take and give the state in these units where PyBaMM's own differ from lane to lane; add the whole `rhs`."""
        lane = self.lane

        def whole(values: Values) -> Values:
            return {"rhs": jnp.concatenate([values[name] for name in equations]), **values}

        if lane is None:
            return lambda y, inputs: whole(evaluate(y, inputs))
        scale, reference = self.scale[:, None], self.reference[:, None]

        def converted(y: State, inputs: Inputs) -> Values:
            own = lane(y, inputs)
            values = evaluate((reference + scale * pieces_of(y).assembled() - own["reference"]) / own["scale"], inputs)
            ratio = own["scale"] / scale
            return whole({**values, **{name: values[name] * ratio[where] for name, where in equations.items()}})

        return converted

    def initial(self, found: Discretised) -> Evaluate | None:
        """Lower the initial conditions in these units, None where no varied parameter is part of them."""
        conditions = found.model.concatenated_initial_conditions
        parts = {s.name for s in conditions.pre_order() if isinstance(s, pybamm.InputParameter)}
        if self.lane is None and not parts & set(found.inputs):
            return None
        lowered, lane = lower({"initial": conditions}), self.lane
        scale, reference = self.scale[:, None], self.reference[:, None]
        still = {CURRENT: jnp.zeros((1, 1)), AMBIENT: jnp.full((1, 1), float(found.constants[AMBIENT]))}

        def converted(y: State, inputs: Inputs) -> Values:
            values = lowered(y, {**still, **inputs})["initial"]
            if lane is not None:
                own = lane(y, inputs)
                values = (own["reference"] + own["scale"] * values - reference) / scale
            return {"initial": values}

        return converted
