"""Print how well the weather of eight stations of Nevada is that of the ninth.

Run as `python experiments/duty_fit/left_out.py`. Of the station left out only the place is used, for its clear sky and
altitude.
"""

import numpy as np
from fit_weather import STATIONS, by_hour, station
from scipy.stats import ks_2samp

from fadecast.duty.climate import MONTH_OF_DAY, Climate, Coordinates
from fadecast.duty.climate_fit import pooled
from fadecast.duty.sun import clear_sky
from fadecast.duty.weather import draw_weather

DRAWS = 20


def main() -> None:
    """Leave out every station once."""
    fitted = {name: station(name) for name in STATIONS}
    for name, (own, table) in fitted.items():
        at = own.place
        place = Coordinates(
            latitude=at.latitude, longitude=at.longitude, altitude=at.altitude, utc_offset=at.utc_offset
        )
        others = pooled([climate for key, (climate, _) in fitted.items() if key != name], "mean").at(place)
        compare(name, others, own, table["GHI (W/m^2)"].to_numpy(float))
        warmer = (others.temperature - own.temperature).mean(axis=1)
        print(
            f"{'':12s} temperature: year {warmer.mean():+.1f} K, worst month {warmer[np.abs(warmer).argmax()]:+.1f} K"
        )


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
