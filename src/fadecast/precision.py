"""Double precision, which JAX does not have by default: imported by whatever computes with it."""

import jax

jax.config.update("jax_enable_x64", True)
