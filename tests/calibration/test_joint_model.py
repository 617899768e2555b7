from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy

from fadecast.calibration import likelihood
from fadecast.calibration.coordinates import spread_of
from fadecast.calibration.joint_fit import Effort, sample, sample_folds
from fadecast.calibration.joint_model import (
    COMMON,
    Evidence,
    Series,
    conditions,
    correlation,
    inverse,
    overhang,
    sizes,
    unfold,
)
from fadecast.calibration.law_weights import foretold, stacked
from fadecast.calibration.left_out import left_out, redrawn, untold
from fadecast.calibration.likelihood import log_density, pointwise, predicted
from fadecast.calibration.makes import MAKES
from fadecast.calibration.rate_tables import QUANTITIES, Place, tabulate, tabulated

LAW = MAKES["lgm50"].laws["solvent"]
DAYS = np.array([30.0, 60.0, 120.0, 240.0, 480.0])
FILM, NEGATIVE, POSITIVE = (unknown.parameter for unknown in LAW.cycled)


def engine(cell, inputs, place, steps, times, tolerance):
    """Film that grows with the root of time, and material lost in proportion to it; both in one loss of capacity."""
    film = np.asarray(inputs[FILM])[0] / LAW.film[0].centre
    days, lost = times[:, None], []
    for name in (NEGATIVE, POSITIVE):
        rate = np.asarray(inputs[name])[0] / 4e-6 if name in inputs else np.zeros_like(film)
        lost.append(1e-4 * rate * days)
    return np.stack([0.002 * np.sqrt(film * days) + 0.5 * sum(lost), *lost])


def empty(temperature, charge):
    count, times = len(temperature), len(DAYS)
    losses = np.full((count, len(QUANTITIES), times), np.nan)
    return Series(np.array(temperature), np.array(charge), np.tile(DAYS, (count, 1)), losses, np.zeros((count, times)))


@pytest.fixture(scope="module")
def evidence():
    """Six storage conditions and four cycled cells at two temperatures, measured as a known truth would be."""
    stored, cycled = (
        empty([0.0, 0.0, 25.0, 25.0, 45.0, 45.0], [0.1, 0.9] * 3),
        empty([10.0, 10.5, 40.0, 40.5], [0.7] * 4),
    )
    tables = [
        tabulate(None, unknowns, Place(s.temperature, s.charge), (), s.days, np.arange(len(s.charge)), 1e-3, engine)
        for s, unknowns in ((stored, LAW.stored), (cycled, LAW.cycled))
    ]
    bare = Evidence(stored, cycled, *tables)
    rng = np.random.default_rng(1)
    truth = 0.5 * rng.normal(size=sum(sizes(LAW, bare).values()))
    exact = predicted(LAW, bare, jnp.asarray(truth))[:2]
    noise = {"capacity": 0.002, "lam_ne": 0.006, "lam_pe": 0.006}
    measured = [
        np.asarray(part) + np.array(list(noise.values()))[:, None] * rng.normal(size=part.shape) for part in exact
    ]
    return Evidence(stored._replace(losses=measured[0]), cycled._replace(losses=measured[1]), *tables), truth


@pytest.fixture(scope="module")
def posterior(evidence):
    return sample(LAW, evidence[0], Effort(chains=2, pilot=80, warmup=80, draws=140), 0)


def test_the_truth_lies_in_the_posterior(evidence, posterior):
    """Of the losses that were measured, and of the rates behind them."""
    given, truth = evidence
    draws = jnp.asarray(posterior.z.reshape(-1, len(truth))[::3])
    found = jax.vmap(partial(unfold, LAW, given))(draws)
    true = unfold(LAW, given, jnp.asarray(truth))
    low, high = np.quantile(
        np.concatenate([found.stored[..., 0], found.cycled.reshape(len(draws), -1)], 1), (0.02, 0.98), 0
    )
    at = np.concatenate([true.stored[:, 0], true.cycled.ravel()])
    assert ((low <= at) & (at <= high)).mean() >= 0.85
    assert np.median(found.common["check_up"]) == pytest.approx(float(true.common["check_up"]), rel=0.5)
    assert posterior.divergent.mean() < 0.02


def test_a_cell_that_is_left_out_says_nothing(evidence):
    given, truth = evidence
    out = left_out(given)
    assert out.shape == (8, 10)
    assert out[6:, 6:].tolist() == [[1.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 1.0]]
    moved = given.stored.losses.copy()
    moved[2] += 0.5
    other = given._replace(stored=given.stored._replace(losses=moved))
    density = [float(log_density(LAW, each, jnp.asarray(1.0 - out[2]), jnp.asarray(truth))) for each in (given, other)]
    assert density[0] == pytest.approx(density[1], rel=1e-12)
    assert log_density(LAW, other, jnp.ones(10), jnp.asarray(truth)) < density[0] - 10.0


def test_draws_of_a_posterior_are_round_in_its_coordinates(posterior):
    about = spread_of(posterior.z, jnp.asarray(posterior.wide))
    there = np.linalg.solve(np.asarray(about.wide), (posterior.z[:, -1] - np.asarray(about.middle)).T)
    assert 0.3 < np.sqrt((there**2).mean()) < 3.0


def check_untold(law, given, fold, free):
    """Nothing but the prior says anything of what is not told, and something of all else."""
    out, spreads = left_out(given)[fold], ["field_sd", "growth_sd", *(["condition_sd"] if law.start else [])]
    found, at = untold(law, given, out), [list(given.priors).index(name) for name in spreads]
    assert found.free.sum() == free
    count = len(found.free)
    np.testing.assert_allclose(found.turn @ found.turn.T, np.eye(count), atol=1e-12)
    known = jax.grad(lambda y: log_density(law, given, jnp.asarray(1.0 - out), found.turn.T @ y) + 0.5 * (y**2).sum())
    # Small, so that no cell is where its table ends.
    y = 0.3 * np.random.default_rng(0).normal(size=count)
    # Where spreads are as held likely, the prior is standard normal.
    y[at] = 0.0
    slopes, is_free = np.delete(np.asarray(known(jnp.asarray(y))), at), np.delete(found.free, at)
    np.testing.assert_allclose(slopes[is_free], 0.0, atol=1e-9)
    return slopes[~is_free]


@pytest.mark.parametrize(("fold", "free"), [(2, 2), (7, 10)])
def test_what_is_not_told_is_all_that_only_left_out_cells_depend_on(evidence, fold, free):
    """Of a storage condition its field and discrepancy; of two cycled cells their departures as well."""
    assert (np.abs(check_untold(LAW, evidence[0], fold, free)) > 1e-9).all()


def test_what_is_drawn_anew_is_as_held_likely_given_all_else(evidence):
    """The field at a place that is left out leans on its neighbours as a Gaussian process does, with its own spread."""
    given, truth = evidence
    out = left_out(given)[3]
    found = untold(LAW, given, out)
    wide = list(COMMON).index("field_sd")
    at = truth.copy()
    at[wide] = 1.0
    draws = redrawn(LAW, given, found, jnp.tile(at, (4000, 1)), jax.random.key(0))
    field = np.asarray(jax.vmap(lambda z: unfold(LAW, given, z).field)(draws))
    np.testing.assert_allclose(np.delete(field, 3, 1).std(0), 0.0, atol=1e-12)
    temperature, charge = (
        [25.0, *np.delete(given.stored.temperature, 3), 10.25, 40.25],
        [
            0.9,
            *np.delete(given.stored.charge, 3),
            0.7,
            0.7,
        ],
    )
    matrix = correlation(np.array(temperature), np.array(charge))
    lean = np.linalg.solve(matrix[1:, 1:], matrix[1:, 0])
    sd = float(COMMON["field_sd"].value(jnp.asarray(1.0))) * np.sqrt(matrix[0, 0] - matrix[0, 1:] @ lean)
    assert field[:, 3].mean() == pytest.approx(np.delete(field[0], 3) @ lean, abs=4.0 * sd / np.sqrt(4000))
    assert field[:, 3].std() == pytest.approx(sd, rel=0.05)


def test_folds_foretell_what_they_do_not_know(evidence, posterior):
    """A condition is foretold worse without it, though far better than by the prior."""
    given, truth = evidence
    effort = Effort(fold_draws=40, fold_moves=3)
    out = left_out(given)
    folds = dict(sample_folds(LAW, given, posterior, out, effort, 0, range(len(out))))
    ((_, alone),) = sample_folds(LAW, given, posterior, out, effort, 0, [3])
    np.testing.assert_array_equal(alone.z, folds[3].z)
    without = foretold(LAW, given, np.stack([folds[n].z.reshape(-1, len(truth)) for n in range(len(out))]))
    draws = jnp.asarray(posterior.z.reshape(-1, len(truth))[::4])
    stored, cycled = (np.asarray(part)[:, :, 0] for part in jax.vmap(partial(pointwise, LAW, given))(draws))
    each = [np.logaddexp.reduce(part, axis=0) - np.log(len(draws)) for part in (stored, cycled)]
    knowing = np.array([*each[0].mean(1), each[1][:2].mean(), each[1][2:].mean()])
    prior = np.random.default_rng(0).normal(size=(1, 400, len(truth)))
    blind = foretold(LAW, given, np.tile(prior, (8, 1, 1)))
    assert (without < knowing + 0.1).all()
    assert without.mean() > blind.mean() + 0.5


def test_nothing_is_lost_to_the_overhang_at_the_charge_of_delivery_and_most_at_full_charge():
    common = {name: jnp.asarray(prior.middle) for name, prior in COMMON.items()}
    charge = np.array([0.0, 0.3, 0.5, 0.8, 1.0])
    held = np.asarray(overhang(common, np.full(5, 25.0), charge, np.tile([0.0, 60.0, 1e6], (5, 1))))
    np.testing.assert_allclose(held[:, 0], 0.0, atol=1e-12)
    assert (np.diff(held, axis=0)[:, 1:] > 0.0).all()
    assert held[0, 2] < 0.0
    assert held[1, 2] == pytest.approx(0.0, abs=1e-9)
    # Slower in the cold, and as much in the end.
    cold = np.asarray(overhang(common, np.full(5, 0.0), charge, np.tile([0.0, 60.0, 1e9], (5, 1))))
    assert cold[4, 1] < held[4, 1]
    assert cold[4, 2] == pytest.approx(held[4, 2], rel=1e-3)


def test_the_field_leans_on_neighbours():
    matrix = correlation(np.array([25.0, 25.0, 45.0, 0.0]), np.array([0.5, 0.6, 0.5, 0.5]))
    assert (np.linalg.eigvalsh(matrix) > 0.0).all()
    assert matrix[0, 1] > matrix[0, 2] > matrix[2, 3]


def test_material_lost_at_check_ups_is_no_capacity_lost_twice(evidence):
    """The table gives capacity, the check-ups add to it by their number, and to the material apart."""
    given, truth = evidence
    at = list(COMMON).index("check_up_material")
    more = truth.copy()
    more[at] += 1.0
    one, other = (predicted(LAW, given, jnp.asarray(z))[0] for z in (truth, more))
    np.testing.assert_allclose(one[:, 0], other[:, 0], rtol=1e-12)
    ratio = (other - one)[:, 1] / (other - one)[:, 1, :1]
    np.testing.assert_allclose(ratio, np.tile(np.sqrt(np.arange(1.0, 6.0)), (6, 1)), rtol=1e-6)


def test_what_was_not_measured_has_no_density(evidence):
    given, truth = evidence
    losses = given.cycled.losses.copy()
    losses[0, 1, 2:] = np.nan
    stored, cycled = pointwise(LAW, given._replace(cycled=given.cycled._replace(losses=losses)), jnp.asarray(truth))
    assert (np.asarray(cycled)[0, 1, 2:] == 0.0).all()
    assert np.isfinite(np.asarray(stored)).all()
    slope = jax.grad(partial(log_density, LAW, given, jnp.ones(10)))(jnp.asarray(truth))
    assert np.isfinite(np.asarray(slope)).all()


def test_the_density_is_that_of_every_check_up_that_was_measured(evidence):
    """Whichever were not: what is asked for of each cell is then of another length."""
    given, truth = evidence
    rng = np.random.default_rng(3)
    parts = {}
    for name in ("stored", "cycled"):
        series = getattr(given, name)
        holes = rng.uniform(size=series.losses.shape) < 0.4
        holes[0] = True
        parts[name] = series._replace(losses=np.where(holes, np.nan, series.losses))
    some, z = given._replace(**parts), jnp.asarray(truth)
    each = [np.asarray(part).sum((1, 2)) for part in pointwise(LAW, some, z)]
    assert each[0][0] == each[1][0] == 0.0
    none = float(log_density(LAW, some, jnp.zeros(10), z))
    for cell, likely in enumerate(np.concatenate(each)):
        one = float(log_density(LAW, some, jnp.zeros(10).at[cell].set(1.0), z))
        assert one - none == pytest.approx(likely, abs=1e-9)


def test_the_logarithm_of_a_product_is_the_sum_of_logarithms_with_its_slopes():
    tails = jnp.asarray(np.random.default_rng(4).uniform(1.0, 1e6, (2, 11, 5)))
    weight = jnp.arange(1.0, 6.0)[None]
    one, other = (
        jax.value_and_grad(lambda x, of=of: (weight * of(x)).sum())(tails)
        for of in (likelihood._log_product, lambda x: jnp.log(x).sum(1))
    )
    np.testing.assert_allclose(one[0], other[0], rtol=1e-12)
    np.testing.assert_allclose(one[1], other[1], rtol=1e-12)


def test_energies_do_nothing_at_25_degrees_and_temperatures_are_grouped():
    assert inverse(np.array(25.0)) == pytest.approx(0.0, abs=1e-15)
    assert inverse(np.array(45.0)) > 0.0
    assert conditions(np.array([40.3, 16.1, 28.3, 16.5, 28.1, 40.8])).tolist() == [2, 0, 1, 0, 1, 2]


def test_weights_of_laws():
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(1, 60))
    assert stacked(np.concatenate([scores + 2.0, scores]))[0] > 0.99
    # Each right in half of the conditions: both are kept.
    mixed = np.stack([np.where(np.arange(60) % 2, 3.0, 0.0), np.where(np.arange(60) % 2, 0.0, 3.0)])
    np.testing.assert_allclose(stacked(mixed), 0.5, atol=0.02)


def test_what_a_law_brings_follows_its_own_temperature(evidence):
    """Film growth has its energy and field in all cells, what it brings has neither, and stress its own energies."""
    law, given = MAKES["lgm50"].laws["coupled"], evidence[0]
    counts = sizes(law, given)
    z = np.zeros(sum(counts.values()))
    names = list(COMMON)
    z[names.index("film_energy")] = 2.0
    z[len(names) : len(names) + counts["rates"]] = 1.0
    found = unfold(law, given, jnp.asarray(z))
    film, brought, negative, positive = (unknown.log_sd for unknown in law.cycled)
    np.testing.assert_allclose(found.stored[:, 0], film + 30e3 * inverse(given.stored.temperature), rtol=1e-9)
    np.testing.assert_allclose(found.stored[:, 1], brought, rtol=1e-12)
    np.testing.assert_allclose(found.cycled[:, 1], brought, rtol=1e-12)
    for column, sd in ((2, negative), (3, positive)):
        np.testing.assert_allclose(found.cycled[:, column], sd + 40e3 * inverse(given.cycled.temperature), rtol=1e-9)


@pytest.fixture(scope="module")
def worn():
    """Six cells of three first lives at one temperature beside five in storage, measured as a known truth would be."""
    law, priors = MAKES["lfp"].laws["electron"], MAKES["lfp"].priors
    film, stress, before = (unknown.parameter for unknown in law.fitted)
    stored = empty([15.0, 15.0, 30.0, 45.0, 45.0], [0.2, 0.9, 0.5, 0.2, 0.9])
    cycled = empty([25.0] * 6, [0.5] * 6)._replace(
        group=np.array([0, 0, 1, 1, 2, 2]), start_soh=np.full(6, 0.77), days=np.tile(DAYS / 5.0, (6, 1))
    )

    def run(cell, inputs, place, steps, times, tolerance):
        days, fast = times[:, None], np.asarray(inputs[film])[0] / law.film[0].centre
        grown = 0.002 * np.sqrt(fast * days)
        if stress not in inputs:
            return np.stack([grown, *(1e-4 * grown,) * 2])
        # What is left of the electrode is worked harder.
        rate = 1e4 * np.asarray(inputs[stress])[0] / (1.0 - np.asarray(inputs[before])[0])
        material = rate * days * (1.0 + 10.0 * rate * days)
        return np.stack([grown + material, material, np.zeros_like(material)])

    place, alike = Place(stored.temperature, stored.charge), Place(np.array([25.0]), np.ones(1), np.array([0.77]))
    tables = (
        tabulate(None, law.stored, place, (), stored.days, np.arange(5), 1e-3, run),
        tabulate(None, law.run_at, alike, (), cycled.days, np.zeros(6, int), 1e-3, run, every=2.0),
    )
    bare = Evidence(stored, cycled, *tables, priors)
    rng = np.random.default_rng(2)
    truth = 0.5 * rng.normal(size=sum(sizes(law, bare).values()))
    # 0.9 points, as measured cells have.
    truth[list(priors).index("noise_second")] = 0.84
    true = unfold(law, bare, jnp.asarray(truth))
    starts = np.clip(true.rates[-1] + true.common["start_sd"] * rng.normal(size=6), *law.start[0].reach)
    logs = jnp.concatenate([true.cycled, jnp.asarray(starts)[:, None]], axis=1)
    exact = predicted(law, bare, jnp.asarray(truth))[0], tabulated(tables[1], logs)
    given = bare
    for name, part, noise in zip(("stored", "cycled"), exact, ("noise", "noise_second"), strict=True):
        series = getattr(given, name)
        losses = series.losses.copy()
        losses[:, 0] = part[:, 0] + float(true.common[noise]) * rng.normal(size=losses[:, 0].shape)
        given = given._replace(**{name: series._replace(losses=losses)})
    return law, given, truth, exact[1][:, 0]


def test_second_life_tells_rates_and_leaves_the_noise_of_storage_alone(worn):
    law, given, truth, exact = worn
    assert left_out(given)[5:, 5:].tolist() == np.repeat(np.eye(3), 2, axis=1).tolist()
    found = sample(law, given, Effort(chains=2, pilot=40, warmup=50, draws=60), 0)
    flat = jnp.asarray(found.z.reshape(-1, len(truth)))
    draws = jax.vmap(partial(unfold, law, given))(flat)
    true = unfold(law, given, jnp.asarray(truth))
    low, high = np.quantile(np.asarray(draws.cycled), (0.02, 0.98), 0)
    at = np.asarray(true.cycled)
    assert ((low <= at) & (at <= high)).mean() >= 0.85
    for name in ("noise", "noise_second"):
        assert np.median(draws.common[name]) == pytest.approx(float(true.common[name]), rel=0.5)
    # What a cell had lost before is told by its own check-ups.
    fitted = np.asarray(jax.vmap(lambda z: predicted(law, given, z)[1])(flat))[:, :, 0].mean(0)
    assert np.sqrt(np.mean((fitted - exact) ** 2)) < float(true.common["noise_second"])
    assert np.isfinite(foretold(law, given, np.tile(found.z.reshape(1, -1, len(truth)), (8, 1, 1)))).all()


@pytest.mark.parametrize(("fold", "free"), [(1, 2), (6, 1)])
def test_of_a_first_life_that_is_left_out_only_its_own_departure_is_not_told(worn, fold, free):
    """The place is that of the others as well. Its departure has the spread of them, as it is in the draw."""
    law, given, truth, _ = worn
    check_untold(law, given, fold, free)
    found = untold(law, given, left_out(given)[6])
    z = jnp.asarray(truth).at[list(given.priors).index("condition_sd")].set(1.0)
    draws = redrawn(law, given, found, jnp.tile(z, (4000, 1)), jax.random.key(0))
    condition = np.asarray(jax.vmap(lambda each: unfold(law, given, each).condition)(draws))[:, :, 0]
    np.testing.assert_allclose(condition[:, [0, 2]].std(0), 0.0, atol=1e-12)
    sd = float(given.priors["condition_sd"].value(jnp.asarray(1.0)))
    assert condition[:, 1].std() == pytest.approx(sd, rel=0.05)
    assert condition[:, 1].mean() == pytest.approx(0.0, abs=4.0 * sd / np.sqrt(4000))


def test_what_was_lost_before_is_summed_over_finely_enough(worn, monkeypatch):
    law, given, truth, _ = worn
    density = partial(log_density, law, given, jnp.ones(11), jnp.asarray(truth))
    coarse = float(density())
    monkeypatch.setattr(likelihood, "_STARTS", 400)
    assert coarse == pytest.approx(float(density()), abs=0.02)
    # Of one cell, by hand.
    only = np.zeros(11)
    only[5] = 1.0
    one, none = (float(log_density(law, given, jnp.asarray(kept), jnp.asarray(truth))) for kept in (only, 0.0 * only))
    true = unfold(law, given, jnp.asarray(truth))
    starts = np.linspace(*law.start[0].reach, 2001)
    logs = jnp.concatenate([jnp.tile(true.cycled[:1], (2001, 1)), jnp.asarray(starts)[:, None]], axis=1)
    # Each part of a table that is of cells.
    table = given.cycled_table._replace(coefficients=jnp.tile(given.cycled_table.coefficients[:1], (2001,) + (1,) * 5))
    left = (given.cycled.losses[0, 0] - np.asarray(tabulated(table, logs))[:, 0]) / float(true.common["noise_second"])
    likely = np.exp(scipy.stats.t.logpdf(left, 5.0).sum(1) - 5.0 * np.log(true.common["noise_second"]))
    prior = scipy.stats.norm.pdf(starts, true.rates[-1], true.common["start_sd"])
    assert one - none == pytest.approx(np.log((likely * prior).sum() / prior.sum()), abs=0.02)
