"""Years from days: typical days of a year's duty, and the integration of the slow state over decades."""
