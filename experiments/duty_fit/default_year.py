"""Print what the default year asks of the battery: python experiments/duty_fit/default_year.py."""

import numpy as np
import xarray as xr

from fadecast.duty import Container, Duty, Site, Solar, make_duty
from fadecast.duty.climate import MONTH_OF_DAY

DRAWS, PACKS, SEED = 20, 64, 1


def main() -> None:
    """Print the default year, a few other field sizes and other walls of the containers."""
    report(Duty(), make_duty(Site(), Duty(), DRAWS, PACKS, SEED))
    for size in (15.0, 20.0, 25.0, 30.0, 40.0):
        for mount in ("fixed", "single_axis"):
            duty = Duty(timestep_minutes=60, solar=Solar(kw_per_pack=size, mount=mount))
            year = make_duty(Site(), duty, DRAWS, PACKS, SEED)
            unserved, spilled = (
                share(year.unserved_power, year.load_power),
                share(year.spilled_power, year.solar_power),
            )
            print(f"{size:.0f} kW per pack, {mount}: unserved {unserved:.3f}, spilled {spilled:.2f}")
    for loss in (5.0, 10.0, 20.0, 40.0):
        duty = Duty(timestep_minutes=60, container=Container(loss_w_per_k=loss))
        year = make_duty(Site(), duty, DRAWS, PACKS, SEED)
        conditioning = share(year.conditioning_power, year.load_power)
        print(
            f"{loss:.0f} W/K per pack: container mean {float(year.pack_ambient_temperature.mean()):.1f} degC, "
            f"air conditioning {conditioning:.4f} of the load"
        )


def report(duty: Duty, year: xr.Dataset) -> None:
    """Print the figures of one set of years."""
    hours, field = duty.timestep_minutes / 60, duty.solar.kw_per_pack * PACKS
    rate, soc = abs(year.pack_power), year.state_of_charge
    unserved, load = year.unserved_power, year.load_power
    by_draw = (unserved.sum("hour") / load.sum("hour")).values
    cycles = float(rate.sum("hour").mean()) * hours / 2
    month = MONTH_OF_DAY[(year.hour.values // 24).astype(int)]
    by_month = [share(unserved[:, month == m], load[:, month == m]) for m in range(12)]
    print(
        f"load: mean {float(load.mean()):.0f} kW, peak {float(load.max()):.0f} kW, "
        f"lowest {float(load.min()):.0f} kW; site over computing {float(load.mean() / year.it_power.mean()):.2f}"
    )
    print(f"solar: {field:.0f} kW, capacity factor {float(year.solar_power.mean()) / field:.3f}")
    print(
        f"unserved {share(unserved, load):.4f} (draws {by_draw.min():.4f} to {by_draw.max():.4f}), "
        f"by month {np.round(by_month, 3).tolist()}; "
        f"spilled {share(year.spilled_power, year.solar_power):.2f}"
    )
    print(
        f"pack |C|: mean {float(rate.mean()):.3f} 1/h, highest discharge {float(year.pack_power.max()):.3f}, "
        f"highest charge {float(-year.pack_power.min()):.3f}"
    )
    print(
        f"equivalent full cycles a year: {cycles:.0f} of nameplate, "
        f"{cycles / duty.dispatch.usable_fraction:.0f} of start-of-service capacity"
    )
    print(
        f"hours a year: full {float((soc >= duty.dispatch.soc_max - 1e-9).sum('hour').mean()) * hours:.0f}, "
        f"empty {float((soc <= duty.dispatch.soc_min + 1e-9).sum('hour').mean()) * hours:.0f}; "
        f"mean charge {float(soc.mean()):.2f}"
    )
    print(
        f"container: mean {float(year.pack_ambient_temperature.mean()):.1f} degC; outdoors "
        f"{float(year.ambient_temperature.mean()):.1f} ({float(year.ambient_temperature.min()):.0f} to "
        f"{float(year.ambient_temperature.max()):.0f}) degC"
    )


def share(part: xr.DataArray, whole: xr.DataArray) -> float:
    """Return the ratio of two sums."""
    return float(part.sum() / whole.sum())


if __name__ == "__main__":
    main()
