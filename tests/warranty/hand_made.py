"""Fade datasets made by hand, as a notebook would, and contracts that can be checked on paper."""

import numpy as np
import xarray as xr

from fadecast.warranty import Capital, CashRemedy, Contract, Premium

PACK_KWH = 78.0
PURE = Premium(expense_ratio=0.0, discount_rate=0.0, capital=Capital(cost_of_capital=0.0))
"""Expected loss and nothing else."""
ONE_INSPECTION = Contract(inspection_interval_years=10.0, remedy=CashRemedy(usd_per_kwh=100.0))
"""70 % after ten years, 100 USD/kWh."""


def fade_of(retention, time, soh_at_start=1.0):
    """Return a dataset of the given retention (draw, pack, time)."""
    retention = np.asarray(retention, dtype=float)
    return xr.Dataset(
        {
            "retention": (("draw", "pack", "time"), retention),
            "soh": (("draw", "pack", "time"), retention * soh_at_start),
        },
        coords={"time": ("time", np.asarray(time, dtype=float), {"units": "year"})},
    )


def linear_fade(end, years=10.0, times=11, soh_at_start=1.0):
    """Return packs that fade linearly to the retention `end` (draw, pack) after `years`."""
    time = np.linspace(0.0, years, times)
    return fade_of(1.0 - (1.0 - np.asarray(end)[:, :, None]) * time / years, time, soh_at_start)


def fade_with_loss(loss):
    """Return one pack per draw that loses `loss` [USD/kWh] under `ONE_INSPECTION`."""
    return linear_fade(0.70 - np.asarray(loss)[:, None] / 100.0, times=2)
