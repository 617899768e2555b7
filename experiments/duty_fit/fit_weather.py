"""Fit the climates that ship with the package to TMY3 stations, and print how good they are.

Run as `python experiments/duty_fit/fit_weather.py`; the measured files must be in the data folder.
"""

from pathlib import Path

import numpy as np
import pandas as pd
import pvlib

from fadecast.duty.climate import MONTH_OF_DAY, Climate, Place
from fadecast.duty.climate_fit import fit_climate, pooled
from fadecast.duty.solar import Solar, plane_irradiance
from fadecast.duty.sun import clear_sky
from fadecast.duty.weather import draw_weather
from fadecast.locations import data_root

ROOT = Path(__file__).parents[2]
PACKAGE_DATA = ROOT / "src" / "fadecast" / "data"
SOURCE = "TMY3 station{}: Wilcox and Marion, Users Manual for TMY3 Data Sets, NREL/TP-581-43156 (2008)"
LICENCE = "fitted statistics of public data of NREL and the US Department of Energy, used with attribution"
# name: file, station identifier, latitude, longitude, altitude [m] (station list of the manual)
STATIONS = {
    "reno": ("reno_tahoe_international_ap", "724880 Reno Tahoe International AP", 39.483, -119.767, 1341),
    "las_vegas": ("las_vegas_mccarran_intl_ap", "723860 Las Vegas McCarran Intl AP", 36.083, -115.15, 648),
    "elko": ("elko_municipal_arpt", "725825 Elko Municipal Arpt", 40.833, -115.783, 1565),
    "ely": ("ely_yelland_field", "724860", 39.3, -114.85, 1906),
    "fallon": ("fallon_naas", "724885", 39.417, -118.717, 1199),
    "lovelock": ("lovelock_derby_field", "725805", 40.067, -118.55, 1190),
    "desert_rock": ("mercury_desert_rock_ap_surfrad", "723870", 36.624, -116.019, 1000),
    "nellis": ("nellis_afb", "723865", 36.25, -115.033, 570),
    "winnemucca": ("winnemucca_municipal_arpt", "725830", 40.9, -117.8, 1309),
}
SHIPPED = ("reno", "las_vegas", "elko")
"""By themselves; the mean of all nine is shipped as `nevada`."""
DRAWS = 40


def main() -> None:
    """Fit and write every station that ships, and the mean of all; check the former."""
    fitted = {name: station(name) for name in STATIONS}
    for name in SHIPPED:
        climate, table = fitted[name]
        print(f"\n## {name}")
        check_place(climate.place, table)
        climate.write(PACKAGE_DATA / f"weather_{name}.json")
        check_climate(Climate.load(name), table)
    numbers = ", ".join(identifier.split()[0] for _, identifier, *_ in STATIONS.values())
    mean = pooled([climate for climate, _ in fitted.values()], SOURCE.format(f"s {numbers}, mean"))
    mean.write(PACKAGE_DATA / "weather_nevada.json")


def station(name: str) -> tuple[Climate, pd.DataFrame]:
    """Return the climate of a station, and the year that it is fitted to."""
    file, identifier, latitude, longitude, altitude = STATIONS[name]
    table = pd.read_csv(data_root() / "solar" / "nevada_tmy3" / f"{file}.csv.gz")
    ghi, dry_bulb, wind = (table[c].to_numpy(float) for c in ("GHI (W/m^2)", "Dry-bulb (C)", "Wspd (m/s)"))
    place = Place(SOURCE.format(f" {identifier}"), LICENCE, latitude, longitude, altitude, -8.0)
    return fit_climate(place, ghi, dry_bulb, wind), table


def check_place(place: Place, table: pd.DataFrame) -> None:
    """Print how far the sun of this place and time zone is from the table's extraterrestrial irradiance."""
    sky = clear_sky(place, 5)
    horizontal = sky.extraterrestrial * np.maximum(np.cos(np.radians(sky.zenith)), 0)
    miss = horizontal.reshape(8760, 12).mean(axis=1) - table["ETR (W/m^2)"]
    print(f"extraterrestrial irradiance, root mean square error: {np.sqrt((miss**2).mean()):.1f} W/m2")
    sky = clear_sky(place, 60)
    ghi, dni, dhi = (table[f"{c} (W/m^2)"].to_numpy(float) for c in ("GHI", "DNI", "DHI"))
    split = pvlib.irradiance.erbs(ghi, sky.zenith, sky.day + 1)
    for solar in (Solar(), Solar(mount="single_axis")):
        measured = np.nansum(plane_irradiance(solar, sky, ghi, dni, dhi)[0])
        modelled = np.nansum(plane_irradiance(solar, sky, ghi, split["dni"], split["dhi"])[0])
        print(f"plane irradiation, {solar.mount}: Erbs over TMY beam {100 * (modelled / measured - 1):+.1f} %")


def check_climate(climate: Climate, table: pd.DataFrame) -> None:
    """Print drawn years against the year they were fitted to."""
    sky = clear_sky(climate.place, 15)
    years = [draw_weather(np.random.default_rng([7, draw]), climate, sky) for draw in range(DRAWS)]
    irradiance = np.array([by_hour(year.irradiance) for year in years])
    temperature = np.array([by_hour(year.temperature) for year in years])
    ghi, dry_bulb = table["GHI (W/m^2)"].to_numpy(float), table["Dry-bulb (C)"].to_numpy(float)
    month = np.repeat(MONTH_OF_DAY, 24)
    of_month = np.array([irradiance[:, month == m].sum() / DRAWS / ghi[month == m].sum() - 1 for m in range(12)])
    warmth = np.array([temperature[:, month == m].mean() - dry_bulb[month == m].mean() for m in range(12)])
    yearly = irradiance.sum(axis=1)
    print(
        f"day persistence {climate.day_persistence:.2f}, hour persistence {climate.hour_persistence:.2f}, "
        f"anomaly persistence {climate.anomaly_persistence:.2f}, "
        f"swing slope {np.round(climate.swing_slope, 2).tolist()}"
    )
    print(
        f"irradiation: year {100 * (yearly.mean() / ghi.sum() - 1):+.1f} %, "
        f"worst month {100 * of_month[np.abs(of_month).argmax()]:+.1f} %, "
        f"standard deviation between years {100 * yearly.std() / yearly.mean():.1f} %"
    )
    print(f"temperature: year {temperature.mean() - dry_bulb.mean():+.2f} K, worst month {np.abs(warmth).max():.2f} K")
    up = ghi > 50
    for label, drawn, measured in [
        ("hourly irradiance in daylight [W/m2]", irradiance[:, up].ravel(), ghi[up]),
        ("hourly temperature [degC]", temperature.ravel(), dry_bulb),
    ]:
        q = [0.05, 0.25, 0.5, 0.75, 0.95]
        print(
            f"{label}: quantiles 5/25/50/75/95 % drawn {np.quantile(drawn, q).round(1).tolist()}, "
            f"measured {np.quantile(measured, q).round(1).tolist()}"
        )


def by_hour(values: np.ndarray) -> np.ndarray:
    """Return hourly means."""
    return values.reshape(8760, -1).mean(axis=1)


if __name__ == "__main__":
    main()
