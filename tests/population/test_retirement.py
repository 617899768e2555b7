import numpy as np
import pytest
from scipy.stats import spearmanr

from fadecast.population.evidence import RetiredCandidates, retired_classes
from fadecast.population.retirement import LOW_LEVEL, cells_in_band, sample_retired

LEVELS = np.linspace(0.0, 1.0, 21)


def made_class(rank_correlation, name="made", cells=100):
    return RetiredCandidates(
        name=name,
        chemistry="LFP",
        citation="made",
        cells=cells,
        levels=LEVELS,
        soh=0.5 + 0.35 * LEVELS**2,
        relative_resistance=np.exp(0.6 * (LEVELS - 0.5)),
        rank_correlation=rank_correlation,
    )


def whole(retired):
    return retired.soh[0], retired.soh[-1]


@pytest.mark.parametrize("name", sorted(retired_classes()))
def test_quantiles_of_every_measured_class_are_recovered(name):
    retired = retired_classes()[name]
    packs = sample_retired(1, [retired], [1.0], whole(retired), 20, 2_000)
    np.testing.assert_allclose(np.quantile(packs.soh, LEVELS), retired.soh, atol=0.004)
    excess = np.maximum(retired.relative_resistance - retired.relative_resistance[1], 0.0)
    np.testing.assert_allclose(np.quantile(packs.excess_resistance, LEVELS), excess, atol=0.012)


@pytest.mark.parametrize("rank_correlation", [-0.9, -0.4, 0.0, 0.7])
def test_the_rank_correlation_of_the_copula_is_recovered(rank_correlation):
    retired = made_class(rank_correlation)
    packs = sample_retired(2, [retired], [1.0], whole(retired), 10, 3_000)
    above = packs.excess_resistance > 0.0
    assert spearmanr(packs.soh, packs.excess_resistance, axis=None).statistic == pytest.approx(
        rank_correlation, abs=0.02
    )
    assert above.mean() == pytest.approx(1.0 - LOW_LEVEL, abs=0.005)


def test_a_narrower_band_keeps_the_resistance_that_goes_with_its_soh():
    retired = made_class(-0.8)
    everyone = sample_retired(3, [retired], [1.0], whole(retired), 40, 2_000)
    band = (0.6, 0.7)
    accepted = sample_retired(4, [retired], [1.0], band, 20, 2_000)
    same = (everyone.soh >= band[0]) & (everyone.soh <= band[1])
    assert band[0] <= accepted.soh.min() < accepted.soh.max() <= band[1]
    np.testing.assert_allclose(
        np.quantile(accepted.excess_resistance, [0.1, 0.5, 0.9]),
        np.quantile(everyone.excess_resistance[same], [0.1, 0.5, 0.9]),
        atol=0.01,
    )


def test_classes_come_in_their_shares():
    classes = [made_class(0.0, "a"), made_class(0.0, "b"), made_class(0.0, "c")]
    packs = sample_retired(5, classes, [1.0, 2.0, 5.0], (0.5, 0.85), 10, 3_000)
    np.testing.assert_allclose(np.bincount(packs.member.ravel()) / 30_000, [0.125, 0.25, 0.625], atol=0.01)


def test_the_number_of_measured_cells_in_a_band_is_known():
    retired = made_class(0.0)
    assert cells_in_band(retired, whole(retired)) == pytest.approx(100)
    assert cells_in_band(retired, (0.5 + 0.35 * 0.25, 0.85)) == pytest.approx(50)


def test_a_class_with_too_few_measured_cells_in_the_band_is_refused():
    with pytest.raises(ValueError, match=r"class 'made' has about 3 measured cells.*5 are needed.*widen soh_range"):
        sample_retired(1, [made_class(0.0, cells=6)], [1.0], (0.5 + 0.35 * 0.25, 0.85), 1, 1)
