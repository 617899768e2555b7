"""The electrochemical cell: a discretised PyBaMM model lowered to JAX and stepped for a whole batch.

Arrays in this package are shaped `(state, lane)`: one column per cell, so that every operation is a wide
vector operation. Nothing outside needs to know, except `fadecast.ensemble`, which makes the lanes.
"""

# Ageing changes a state by 1e-9 of its size per step; single precision would lose it.
import fadecast.precision  # noqa: F401
