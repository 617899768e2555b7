"""Measured ageing → rates of the cell model, through the forecast engine itself."""
