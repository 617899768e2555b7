"""Dispatch again: the same site gives the same duty, a smaller store serves less."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fadecast.duty import Duty, Site, make_duty
from fadecast.duty.again import SiteYear, dispatched_again
from fadecast.duty.dispatch import Dispatch
from fadecast.duty.sources import Generator, Grid
from fadecast.duty.workload import Workload

PACKS = 8
SERVED = {
    "sun alone": Duty(timestep_minutes=60),
    "grid and generator by plan": Duty(
        timestep_minutes=60,
        workload=Workload(curtailable_share=0.2),
        dispatch=Dispatch(policy="look_ahead"),
        grid=Grid(import_kw_per_pack=2.0, export_kw_per_pack=1.0),
        generator=Generator(kw_per_pack=2.0),
    ),
    "regulation": Duty(timestep_minutes=60, service="regulation"),
    "cycling": Duty(timestep_minutes=60, service="cycling"),
}


@pytest.fixture(scope="module", params=list(SERVED))
def both(request):
    served = SERVED[request.param]
    year = make_duty(Site(), served, 1, PACKS, 1).isel(draw=0)
    return request.param, year, SiteYear.of(served, year, PACKS, 60)


def again(year, capability, converters=1.0):
    duty = dispatched_again(year, jnp.asarray([capability]), jnp.asarray([converters]))
    return jax.tree.map(lambda values: values[..., 0] if values.shape[-1] == 1 else values[0], duty)


def test_a_site_that_has_not_faded_has_the_duty_it_had(both):
    _, whole, year = both
    duty = again(year, 1.0)
    # A year of plans starts from its own first plan, not from where it ends: a day or two differ.
    first, since = whole.isel(hour=slice(72, None)), 72
    np.testing.assert_allclose(duty.power[since:], first["pack_power"], atol=1e-9)
    np.testing.assert_allclose(duty.state_of_charge[since:], first["state_of_charge"], atol=1e-9)
    np.testing.assert_allclose(duty.air[since:], first["pack_ambient_temperature"], atol=1e-6)
    means = [24.0 * float(whole[f"{part}_power"].mean()) for part in ("unserved", "spilled", "curtailed", "generator")]
    np.testing.assert_allclose(duty.energy[:4], means, rtol=1e-4, atol=1e-6)


def test_a_faded_site_serves_less_and_cycles_deeper(both):
    name, _, year = both
    if name != "sun alone":
        pytest.skip("only a site off the grid has to go without")
    unserved = [float(again(year, capability).energy[0]) for capability in (1.0, 0.9, 0.7, 0.4)]
    assert unserved == sorted(unserved)
    assert unserved[-1] > 2.0 * unserved[0]
    swings = [float(np.ptp(np.asarray(again(year, capability).state_of_charge))) for capability in (1.0, 0.9)]
    assert swings[1] >= swings[0] - 1e-12


def test_fewer_converters_carry_less(both):
    name, first, year = both
    limit = 0.1
    most = np.abs(np.asarray(again(year, 1.0, limit).power)).max()
    allowed = limit * year.plant.converter / year.nameplate / year.plant.converter_efficiency
    assert most <= allowed * (1 + 1e-12)
    assert most < np.abs(first["pack_power"]).max() or name == "regulation"


def test_longer_steps_are_means_of_what_is_asked():
    served = Duty(timestep_minutes=15)
    duty = make_duty(Site(), served, 1, PACKS, 1).isel(draw=0)
    fine, coarse = (SiteYear.of(served, duty, PACKS, minutes) for minutes in (15, 60))
    np.testing.assert_allclose(coarse.demand.firm, np.asarray(fine.demand.firm).reshape(-1, 4).mean(axis=1)[:, None])
    assert float(again(coarse, 1.0).energy[0]) == pytest.approx(float(again(fine, 1.0).energy[0]), rel=0.05)
