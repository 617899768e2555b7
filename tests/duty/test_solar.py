"""Photovoltaic power: night, limits, direction of effects."""

from dataclasses import replace

import numpy as np
import pytest

from fadecast.duty.climate import Climate
from fadecast.duty.solar import Solar, solar_power
from fadecast.duty.sun import clear_sky
from fadecast.duty.weather import Weather, draw_weather

PLACE = Climate.load("reno").place
SKY = clear_sky(PLACE, 15)
CLEAR = Weather(irradiance=SKY.clear, temperature=np.full(35040, 15.0), wind_speed=np.full(35040, 2.0))


def test_no_power_at_night():
    for mount in ("fixed", "single_axis"):
        power = solar_power(Solar(mount=mount), SKY, CLEAR)
        assert (power[SKY.zenith > 90] == 0).all()
        assert np.isfinite(power).all()
        assert (power >= 0).all()


def test_the_inverter_clips():
    power = solar_power(Solar(dc_ac_ratio=2.0), SKY, CLEAR)
    assert power.max() == pytest.approx(0.5)
    assert solar_power(Solar(dc_ac_ratio=0.5), SKY, CLEAR).max() < 1.0


def test_a_clear_noon_by_hand():
    # Flat plane, no losses but the inverter's: power is close to irradiance over 1000 W/m2 less the cell's heat.
    flat = Solar(tilt=0.0, loss=0.0, temperature_coefficient=0.0, dc_ac_ratio=0.9)
    noon = SKY.clear.argmax()
    assert solar_power(flat, SKY, CLEAR)[noon] == pytest.approx(0.96 * SKY.clear[noon] / 1000, rel=0.04)


def test_losses_are_a_factor_below_the_inverter_curve():
    whole, less = (solar_power(Solar(loss=x, dc_ac_ratio=0.5), SKY, CLEAR).sum() for x in (0.0, 0.14))
    assert less / whole == pytest.approx(0.86, abs=0.01)


def test_heat_and_clouds_cost_power():
    base = solar_power(Solar(), SKY, CLEAR).sum()
    assert solar_power(Solar(), SKY, replace(CLEAR, temperature=CLEAR.temperature + 20)).sum() < 0.96 * base
    assert solar_power(Solar(), SKY, replace(CLEAR, irradiance=0.5 * SKY.clear)).sum() < 0.7 * base


def test_a_tracker_yields_more_over_the_year_and_a_tilt_more_in_december():
    fixed, tracker = (solar_power(Solar(mount=mount), SKY, CLEAR) for mount in ("fixed", "single_axis"))
    assert tracker.sum() > 1.1 * fixed.sum()
    assert fixed[SKY.day >= 334].sum() > tracker[SKY.day >= 334].sum()


def test_the_yield_of_reno_is_plausible():
    # Roughly 1700 kWh per kW and year for a fixed tilt at 1,800 kWh/m2 of horizontal irradiation.
    climate = Climate.load("reno")
    year = solar_power(Solar(), SKY, draw_weather(np.random.default_rng(0), climate, SKY)).mean() * 8760
    assert 1450 < year < 1850
