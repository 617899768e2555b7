"""What groups in series did, as the packs they make: one lane for each pack again."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np

from fadecast.cell.extremes import Extremes
from fadecast.cell.health import Health
from fadecast.cell.series import Series
from fadecast.decades.macro import History
from fadecast.pack.groups import pack_health


def of_packs(series: Series, history: History, health: Health) -> tuple[History, Health]:
    """Return the history and the health at each time of packs, from those of their groups.

    Slow states and what adds up are means over the groups, per cell; extremes are those of any group; a
    pack ends with its first group. Capacity and resistance are those of `pack_health`.
    """
    headroom = history.service.headroom
    if headroom is None:
        raise ValueError("the history is of cells by themselves; packs need the headroom of their groups")

    def each(value: jax.Array) -> np.ndarray:
        return np.asarray(value[..., :: series.groups])

    def mean(value: np.ndarray) -> np.ndarray:
        return each(series.mean(jnp.asarray(value)))

    whole = pack_health(series, health, jnp.asarray(headroom[:, 0]))
    most = history.extremes
    packs = replace(
        history,
        service=jax.tree.map(mean, history.service._replace(headroom=None)),
        extremes=Extremes(
            each(series.most(jnp.asarray(most.temperature))),
            each(series.most(jnp.asarray(most.current))),
            each(series.most(jnp.asarray(most.fullest))),
            each(series.least(jnp.asarray(most.emptiest))),
        ),
        outcome=each(series.most(jnp.asarray(history.outcome))),
        last_good=each(series.least(jnp.asarray(history.last_good))),
    )
    return packs, Health(*(value[..., :: series.groups] for value in whole))
