"""Physics-based fade forecasts for second-life battery packs, and the warranty prices that follow from them."""

import os

# PyBaMM reports usage to its authors unless told not to before it is imported.
os.environ["PYBAMM_DISABLE_TELEMETRY"] = "true"

__version__ = "0.1.0"
