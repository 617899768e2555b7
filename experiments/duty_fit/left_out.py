"""Print how well clouds fitted to eight stations of Nevada are those of the ninth.

Run as `python experiments/duty_fit/left_out.py`. Of the station left out only the place is used, for its clear sky.
"""

from dataclasses import replace

import numpy as np
import pandas as pd
from fit_weather import LICENCE, SOURCE, STATIONS, by_hour
from scipy.stats import ks_2samp

from fadecast.duty.climate import MONTH_OF_DAY, Climate, Place
from fadecast.duty.climate_fit import fit_climate
from fadecast.duty.sun import clear_sky
from fadecast.duty.weather import draw_weather
from fadecast.locations import data_root

# Latitude, longitude, altitude [m] of the station list of the manual.
OTHERS = {
    "ely": ("ely_yelland_field", "724860", 39.3, -114.85, 1906),
    "fallon": ("fallon_naas", "724885", 39.417, -118.717, 1199),
    "lovelock": ("lovelock_derby_field", "725805", 40.067, -118.55, 1190),
    "desert_rock": ("mercury_desert_rock_ap_surfrad", "723870", 36.624, -116.019, 1000),
    "nellis": ("nellis_afb", "723865", 36.25, -115.033, 570),
    "winnemucca": ("winnemucca_municipal_arpt", "725830", 40.9, -117.8, 1309),
}
CLOUDS = ("day_clearness", "day_persistence", "hour_ratio", "hour_persistence")
DRAWS = 20


def main() -> None:
    """Leave out every station once."""
    fitted, measured = {}, {}
    for name, (file, station, latitude, longitude, altitude) in (STATIONS | OTHERS).items():
        table = pd.read_csv(data_root() / "solar" / "nevada_tmy3" / f"{file}.csv.gz")
        ghi, dry_bulb, wind = (table[c].to_numpy(float) for c in ("GHI (W/m^2)", "Dry-bulb (C)", "Wspd (m/s)"))
        place = Place(SOURCE.format(station), LICENCE, latitude, longitude, altitude, -8.0)
        fitted[name], measured[name] = fit_climate(place, ghi, dry_bulb, wind), ghi
    for name, own in fitted.items():
        clouds = pooled([other for key, other in fitted.items() if key != name], own)
        compare(name, clouds, own, measured[name])


def pooled(others: list[Climate], own: Climate) -> Climate:
    """Return a climate with the mean clouds of other stations."""
    means = {key: np.mean([getattr(other, key) for other in others], axis=0) for key in CLOUDS}
    return replace(own, **means)


def compare(name: str, clouds: Climate, own: Climate, ghi: np.ndarray) -> None:
    """Print drawn years with the clouds of others, and with its own, against the measured year."""
    sky, month = clear_sky(own.place, 15), np.repeat(MONTH_OF_DAY, 24)
    clear = by_hour(sky.clear)
    words = [f"{name:12s}"]
    for climate in (clouds, own):
        drawn = np.array(
            [by_hour(draw_weather(np.random.default_rng([7, draw]), climate, sky).irradiance) for draw in range(DRAWS)]
        )
        of_month = np.array([drawn[:, month == m].mean() / ghi[month == m].mean() - 1 for m in range(12)])
        daily = drawn.reshape(-1, 24).sum(axis=1) / np.tile(clear.reshape(365, 24).sum(axis=1), DRAWS)
        day = ks_2samp(daily, ghi.reshape(365, 24).sum(axis=1) / clear.reshape(365, 24).sum(axis=1)).statistic
        up = (clear[1:] > 100.0) & (clear[:-1] > 100.0)
        steps = [np.diff(hourly / np.maximum(clear, 1.0), axis=-1)[..., up] for hourly in (drawn, ghi)]
        spread = steps[0].std() / steps[1].std()
        words.append(
            f"year {100 * (drawn.mean() / ghi.mean() - 1):+.1f} %, worst month "
            f"{100 * of_month[np.abs(of_month).argmax()]:+.1f} %, days apart {day:.3f}, hourly changes {spread:.2f}"
        )
    print(" | ".join(words))


if __name__ == "__main__":
    main()
