import numpy as np
import pandas as pd
import pytest

from fadecast.measured import uconn_lfp
from fadecast.measured.catalogue import MeasuredDataError

from .needs import needs

SET = "uconn_lfp_first_second_life"


@needs(SET)
def test_second_life_is_read_from_where_capacity_is_highest():
    table = uconn_lfp.uconn_second_life()
    cells = table.groupby(["group", "cell"])
    # Eight groups of three; those of G12 never switched.
    assert len(cells) == 21
    assert "G12" not in set(table["group"])
    assert (cells["days"].first() == 0.0).all()
    assert cells["days"].apply(lambda days: bool((np.diff(days) > 4.0).all())).all()
    assert cells["capacity"].apply(lambda capacity: capacity.idxmax() == capacity.index[0]).all()
    assert table["start_soh"].between(0.70, 0.82).all()
    assert (cells["capacity"].min() >= 0.70 * cells["capacity"].max()).all()


@pytest.fixture
def written(tmp_path, monkeypatch):
    """Write a log of one cell: weeks of so many ampere-hours, with the capacities found after."""
    path = tmp_path / "batch1_cycling_rpt.csv"
    monkeypatch.setattr(uconn_lfp, "fetch", lambda name: {path.name: path})

    def write(weeks, capacities, numbers=None, **columns):
        table = {
            "RPT Number": numbers or [n + 1 for n in range(len(weeks))],
            "Ampere-Hour Throughput (Ah)": weeks,
            "Total Time Elapsed (h)": [120.0] * len(weeks),
            "Group": "G1",
            "Cell": "C1",
            "Capacity": capacities,
        }
        pd.DataFrame(table | columns).to_csv(path, index=False)
        return path

    return write


def test_an_interval_whose_check_up_is_not_there_takes_as_long_as_its_neighbours(written):
    written([400.0, 400.0, 70.0, 70.0, 70.0], [1.2, 1.0, 1.02, 0.99, 0.9], numbers=[1, 2, 3, 4, 6])
    table = uconn_lfp.uconn_second_life()
    assert table["days"].tolist() == [0.0, 5.0, 15.0]
    assert table["capacity"].tolist() == [1.02, 0.99, 0.9]
    assert table["start_soh"].tolist() == pytest.approx([0.85] * 3)


def test_a_cell_that_is_spent_is_read_no_further(written):
    written([400.0, 70.0, 70.0, 70.0, 70.0], [1.2, 1.0, 0.8, 0.69, 0.71])
    assert uconn_lfp.uconn_second_life()["capacity"].tolist() == [1.0, 0.8]


def test_cells_that_never_switch_and_gaps_of_the_log_are_no_second_life(written):
    for weeks in ([400.0, 400.0, 70.0, 400.0], [400.0, 70.0, 0.01, 70.0], [70.0, 70.0, 70.0, 70.0]):
        written(weeks, [1.2, 1.1, 1.1, 1.0])
        with pytest.raises(MeasuredDataError, match="no cell"):
            uconn_lfp.uconn_second_life()


def test_a_cell_without_a_check_up_after_its_start_is_none(written):
    written([400.0, 70.0, 70.0], [1.2, 0.9, 1.0])
    with pytest.raises(MeasuredDataError, match="no cell"):
        uconn_lfp.uconn_second_life()


def test_a_file_that_is_not_it_is_refused(written):
    path = written([400.0, 70.0], [1.2, 1000.0])
    with pytest.raises(MeasuredDataError, match=r"batch1_cycling_rpt\.csv.*Capacity"):
        uconn_lfp.uconn_second_life()
    path.write_text("Group,Cell\nG1,C1\n")
    with pytest.raises(MeasuredDataError, match="no column"):
        uconn_lfp.uconn_second_life()
