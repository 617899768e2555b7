"""What ships against the measured traces it was fitted to."""

import numpy as np
import pandas as pd
import pytest

from fadecast.duty.climate import MONTH_OF_DAY, Climate
from fadecast.duty.inference import Requests, request_rate
from fadecast.duty.tables import levels
from fadecast.duty.training import AcceleratorPower, Training, training_power
from fadecast.measured.catalogue import DATA_VARIABLE, data_root

SERVEGEN = "ai_load/servegen_llm_request_rate/request_rate_10min.csv"
ACME = "ai_load/acme_shanghai_ailab_power_cdf"
TMY = "solar/nevada_tmy3/reno_tahoe_international_ap.csv.gz"


def needs(path, origin):
    reason = f"{path} is not in {data_root()}; get it from {origin} and set {DATA_VARIABLE}"
    return pytest.mark.skipif(not (data_root() / path).exists(), reason=reason)


@needs(SERVEGEN, "GitHub alibaba/ServeGen")
def test_course_and_spread_of_requests():
    rate = pd.read_csv(data_root() / SERVEGEN).filter(like="language").sum(axis=1).to_numpy(float)
    rate = rate / rate.mean()
    drawn = request_rate(np.random.default_rng(0), Requests.measured(), 10)
    by_hour = [x.reshape(-1, 24, 6).mean(axis=(0, 2)) for x in (drawn, rate)]
    assert np.corrcoef(by_hour)[0, 1] > 0.95
    np.testing.assert_allclose(by_hour[0], by_hour[1], atol=0.06)
    q = [0.05, 0.25, 0.5, 0.75, 0.95]
    np.testing.assert_allclose(np.quantile(drawn, q), np.quantile(rate, q), atol=0.1)


@needs(ACME, "GitHub InternLM/AcmeTrace")
def test_accelerator_power_of_the_training_clusters():
    watts = np.sort(
        np.concatenate(
            [pd.read_csv(data_root() / ACME / f"gpu_power_{c}.csv")["gpu_power_W"] for c in ("kalos", "seren")]
        )
    )
    cluster = Training(slots=1, occupancy=0.673, job_hours=5.0, job_spread=0.5, checkpoint_length=0.0)
    power = AcceleratorPower.measured()
    drawn = np.concatenate([training_power(np.random.default_rng([1, k]), cluster, power, 1) for k in range(4)]) * 400
    found = np.searchsorted(watts, np.quantile(drawn, levels(101)[1:-1])) / watts.size
    assert np.abs(found - levels(101)[1:-1]).max() < 0.03  # Kolmogorov-Smirnov distance


@needs(TMY, "the NREL TMY3 archive, station 724880")
def test_monthly_means_in_the_package_are_those_of_the_typical_year():
    table, climate = pd.read_csv(data_root() / TMY), Climate.load("reno")
    month = np.repeat(MONTH_OF_DAY, 24)
    np.testing.assert_allclose(np.bincount(month, table["GHI (W/m^2)"]) / 1e3, climate.irradiation, rtol=1e-4)
    np.testing.assert_allclose(
        np.bincount(month, table["Dry-bulb (C)"]) / np.bincount(month), climate.temperature.mean(axis=1), rtol=1e-3
    )
