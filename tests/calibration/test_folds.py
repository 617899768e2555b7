import numpy as np
import pandas as pd
import pytest

from fadecast.calibration.folds import SEI, VARIED, Condition, everything, fitted_conditions, predict

DRAWS = 20_000


def draws(condition, known=everything, seed=0):
    return predict(condition, known, DRAWS, np.random.default_rng(seed)).log_multipliers


def test_predictions_follow_what_was_fitted():
    """Warm storage at high charge was fitted as faster than at low charge; cold cells lose material slower."""
    high, low = (draws(Condition(25.0, soc))[SEI] for soc in (0.85, 0.15))
    assert np.median(high) > np.median(low) + 0.5
    for name in VARIED[1:]:
        assert np.median(draws(Condition(40.0, 0.8))[name]) > np.median(draws(Condition(16.0, 0.8))[name]) + 0.5


def test_a_condition_far_from_all_others_is_less_sure():
    near, far = (draws(Condition(celsius, 0.8))[SEI].std() for celsius in (25.0, 80.0))
    assert far > 1.5 * near


def test_what_is_left_out_is_not_known():
    """A condition whose own multiplier is far off the others moves the prediction of none but of others."""
    calendar, _ = fitted_conditions()
    row = calendar.loc[(calendar["temperature"] == 45.0) & (calendar["soc"] == 0.90)].iloc[0]
    condition = Condition(float(row["temperature"]), float(row["soc"]))

    def without(fitted: pd.DataFrame) -> pd.Series:
        if "soc" not in fitted:
            return everything(fitted)
        return ~((fitted["temperature"] == condition.temperature) & (fitted["soc"] == condition.state_of_charge))

    knowing, blind = (np.median(draws(condition, known)[SEI]) for known in (everything, without))
    assert abs(row["log"] - blind) > abs(row["log"] - knowing)


def test_left_out_multipliers_lie_in_their_intervals():
    calendar, _ = fitted_conditions()
    inside = []
    for _, row in calendar.iterrows():

        def without(fitted: pd.DataFrame, t: float = row["temperature"], s: float = row["soc"]) -> pd.Series:
            return ~((fitted["temperature"] == t) & (fitted["soc"] == s)) if "soc" in fitted else everything(fitted)

        found = draws(Condition(row["temperature"], row["soc"]), without)[SEI]
        low, high = np.quantile(found, (0.05, 0.95))
        inside.append(low <= row["log"] <= high)
    assert 0.80 <= np.mean(inside) <= 1.0


def test_the_same_generator_gives_the_same_draws():
    one, other = (draws(Condition(25.0, 0.5), seed=3) for _ in range(2))
    for name in VARIED:
        np.testing.assert_array_equal(one[name], other[name])
    assert draws(Condition(25.0, 0.5), seed=4)[SEI][0] != pytest.approx(one[SEI][0])
