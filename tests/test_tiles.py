import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fadecast.pack.sharing import Fleet
from fadecast.tiles import shards_of, tile_of

counts = st.integers(1, 400)


@given(draws=st.integers(1, 6), site=counts, sites=st.integers(1, 5), most=st.integers(16, 128), alone=st.booleans())
def test_every_lane_is_forecast_once_in_tiles_of_one_size(draws, site, sites, most, alone):
    fleet = Fleet(sharing="fixed" if alone else "equal", sites=sites)
    shards, tile = shards_of(draws, site * sites, fleet, most), tile_of(draws, site * sites, fleet, most)

    assert tile <= most
    assert {len(shard) % tile for shard in shards} == {0}
    assert len({len(shard) for shard in shards}) == 1
    numbers = np.concatenate([np.unique(shard) for shard in shards])
    np.testing.assert_array_equal(numbers, np.arange(draws * site * sites))


@given(draws=st.integers(1, 6), site=counts, sites=st.integers(1, 5), most=st.integers(16, 128))
def test_a_site_of_several_tiles_fills_up_less_than_a_lane_for_each_of_them(draws, site, sites, most):
    shards = shards_of(draws, site * sites, Fleet(sharing="equal", sites=sites), most)

    tiles = -(-site // most)
    if tiles > 1:
        assert all(len(shard) - len(np.unique(shard)) < tiles for shard in shards)
        assert all(np.ptp(shard // site) == 0 for shard in shards)


def test_small_sites_share_a_tile_and_none_is_divided():
    shards = shards_of(2, 5 * 20, Fleet(sharing="equal", sites=5), 64)

    # Ten sites of twenty packs, three to a tile of up to 64: four tiles.
    assert [len(np.unique(shard)) // 20 for shard in shards] == [3, 3, 3, 1]
