"""Samples of compound losses under our layers and measures, against the exact distributions of the package `aggregate`.

Cases are lines of the package's own test suite (Mildenhall & Major, Pricing Insurance Risk, 2022), among the shared
data. Install `aggregate` 0.30 or later beside fadecast to run these.
"""

import numpy as np
import pytest

from fadecast.measured.catalogue import data_root
from fadecast.warranty import Layer
from fadecast.warranty.layers import cede
from fadecast.warranty.principles import Loadings, distorted_mean, distortions
from fadecast.warranty.tails import value_at_risk

aggregate = pytest.importorskip("aggregate", reason="needs the package aggregate: pip install 'aggregate>=0.30'")

# aggregate 0.30 takes logarithms of probabilities that are 0 while it builds a distribution.
pytestmark = pytest.mark.filterwarnings("ignore")

DRAWS, MOST = 400_000, 60
SUITE = "insurance/aggregate_test_suite/test_suite.agg"
ONCE = np.ones((1, DRAWS))


@pytest.fixture(scope="module")
def lines():
    """Return the lines of the suite by the name of their case."""
    path = data_root() / SUITE
    if not path.is_file():
        pytest.skip(f"needs {SUITE} under $FADECAST_DATA: it is part of the package's source, PyPI aggregate 0.30.1")
    found = {}
    for line in path.read_text().splitlines():
        if line.startswith("agg "):
            found[line.split()[1]] = line.partition("note{")[0]
    return found


def sampled(mean_count, mean, cv, limit=None, count="poisson", seed=1):
    """Losses of up to `MOST` claims in each draw: log-normal, capped."""
    rng = np.random.default_rng(seed)
    number = rng.poisson(mean_count, DRAWS) if count == "poisson" else np.full(DRAWS, mean_count)
    assert number.max() <= MOST
    width = int(number.max())
    log_variance = np.log1p(cv**2)
    loss = mean * np.exp(np.sqrt(log_variance) * rng.normal(size=(DRAWS, width)) - 0.5 * log_variance)
    loss = np.where(np.arange(width) < number[:, None], loss, 0.0)
    return loss if limit is None else np.minimum(loss, limit)


def layered(loss, *layers):
    """Return what is ceded in all and what is left, per draw, by borders in the unit of the loss."""
    # Each claim is a pack of 1 kWh; of all claims borders are of the whole, which has as many kWh as there are claims.
    width = loss.shape[1]
    scaled = [
        layer
        if layer.kind != "stop_loss"
        else Layer(
            kind="stop_loss",
            share=layer.share,
            attachment_usd_per_kwh=layer.attachment_usd_per_kwh / width,
            limit_usd_per_kwh=layer.limit_usd_per_kwh / width,
        )
        for layer in layers
    ]
    found = cede(tuple(scaled), loss, np.ones_like(loss))
    return found.ceded.sum(axis=0), found.retained


def by(kind, share, limit, attachment):
    return Layer(kind=kind, share=share, limit_usd_per_kwh=float(limit), attachment_usd_per_kwh=float(attachment))


OCCURRENCE = [by("excess_of_loss", *terms) for terms in ((0.5, 5, 0), (1.0, 5, 15), (1.0, 30, 20))]
"""50 % so 5 xs 0 and 5 po 15 xs 5 and 30 xs 20, the second as the third of 15 xs 5 that it is."""
OCCURRENCE[1] = by("excess_of_loss", 5.0 / 15.0, 15, 5)
TOGETHER = [by("stop_loss", 0.5, 25, 0), by("stop_loss", 1.0, 75, 25)]

CASES = {
    "E.TSev10": ((10, 10.0, 0.8, None), (), "left"),
    "J.Re01": ((5, 10.0, 0.75, 100.0), OCCURRENCE, "left"),
    "J.Re02": ((5, 10.0, 0.75, 100.0), TOGETHER, "left"),
    "J.Re05": ((5, 10.0, 0.75, 100.0), OCCURRENCE, "ceded"),
    "J.Re06": ((5, 10.0, 0.75, 100.0), TOGETHER, "ceded"),
    "J.Re09": ((5, 10.0, 0.75, 100.0), [by("excess_of_loss", 1.0, 15, 5)], "ceded"),
    "J.Re10": ((5, 10.0, 0.75, 100.0), [by("stop_loss", 1.0, 20, 0)], "left"),
}
"""Case → claims (number, mean, coefficient of variation, cap), layers, and which part the case is of."""


@pytest.mark.parametrize("case", CASES)
def test_layers_and_tails_are_those_of_the_exact_distribution(lines, case):
    terms, layers, part = CASES[case]
    exact = aggregate.build(lines[case])
    values = exact.density_df
    outcomes, chance = values["loss"].to_numpy(), values["p_total"].to_numpy()
    mean = (outcomes * chance).sum()
    deviation = np.sqrt(((outcomes - mean) ** 2 * chance).sum())
    loss = dict(zip(("ceded", "left"), layered(sampled(*terms), *layers), strict=True))[part]
    # Four standard errors of the sample, and the step of the exact distribution.
    error = 4.0 * deviation / np.sqrt(DRAWS) + float(exact.bs)
    assert loss.mean() == pytest.approx(mean, abs=error)
    assert loss.std() == pytest.approx(deviation, rel=0.01)
    for level in (0.9, 0.99):
        quantile, tail = value_at_risk(loss, ONCE, np.array([level]))
        assert quantile.item() == pytest.approx(exact.q(level), rel=0.015, abs=2.0 * float(exact.bs))
        assert tail.item() == pytest.approx(exact.tvar(level), rel=0.015)


@pytest.mark.parametrize(("ours", "theirs"), [("wang", "wang"), ("proportional_hazard", "ph"), ("dual_power", "dual")])
def test_distorted_means_are_those_of_the_exact_distribution(lines, ours, theirs):
    exact = aggregate.build(lines["E.TSev10"])
    loadings = Loadings()
    shape = {"wang": loadings.wang, "ph": 1.0 / loadings.proportional_hazard, "dual": loadings.dual_power}[theirs]
    distortion = aggregate.Distortion(theirs, shape)
    loss = sampled(10, 10.0, 0.8).sum(axis=1)
    found = distorted_mean(loss, ONCE, distortions(loadings)[ours]).item()
    outcomes, survival = exact.density_df["loss"].to_numpy(), exact.density_df["S"].to_numpy()
    expected = float(exact.bs) * distortion.g(np.clip(survival, 0.0, 1.0)).sum()
    assert outcomes[0] == 0.0
    assert found == pytest.approx(expected, rel=0.005)
