"""Slow states in variables that are nearly linear in time, in which macro steps are taken."""

import jax

from fadecast.cell.aged import SlowState
from fadecast.decades.service import Service

_FILMS = ("sei", "sei_cracks")


def straighten(service: Service) -> Service:
    """Replace the concentrations of SEI by their squares, which diffusion-limited growth makes linear in time."""
    return service._replace(slow=service.slow._replace(**{name: getattr(service.slow, name) ** 2 for name in _FILMS}))


def straight_rate(slow: SlowState, rate: SlowState) -> SlowState:
    """Return the rate of a straightened slow state."""
    return rate._replace(**{name: 2.0 * getattr(slow, name) * getattr(rate, name) for name in _FILMS})


def relax(service: Service) -> Service:
    """Undo `straighten`."""
    return service._replace(slow=service.slow._replace(**{name: getattr(service.slow, name) ** 0.5 for name in _FILMS}))


def advance(state: Service, rate: Service, step: float) -> Service:
    """Take an Euler step [day]."""
    return jax.tree.map(lambda value, slope: value + step * slope, state, rate)


def between(old: Service, old_rate: Service, new: Service, new_rate: Service, step: float, share: float) -> Service:
    """Cubic Hermite interpolation at a share of a macro step."""
    a = (1 + 2 * share) * (1 - share) ** 2
    b = share * (1 - share) ** 2 * step
    c = share**2 * (3 - 2 * share)
    d = -(share**2) * (1 - share) * step
    return jax.tree.map(lambda y0, f0, y1, f1: a * y0 + b * f0 + c * y1 + d * f1, old, old_rate, new, new_rate)
