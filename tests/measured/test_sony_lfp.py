import numpy as np
import pytest

from fadecast.measured import sony_lfp
from fadecast.measured.catalogue import MeasuredDataError

from .needs import needs

STORED = "schimpe2018_lfp_calendar"


@needs(STORED)
def test_storage_is_read_whole():
    table = sony_lfp.sony_lfp_calendar()
    groups = table.groupby(["temperature", "soc"])
    assert len(groups) == 22
    assert (groups["days"].first() == 0.0).all()
    assert (groups["capacity"].first() == 1.0).all()
    assert groups["days"].apply(lambda days: bool((np.diff(days) > 0.0).all())).all()
    assert table["days"].max() < 235.0
    # Hot and full cells lose most, as the paper has it: 8 % in eight months at 45 degC.
    assert table[(table["temperature"] == 45.0) & (table["soc"] == 1.0)]["capacity"].iloc[-1] == pytest.approx(
        0.92, abs=0.003
    )


def test_a_file_that_is_not_it_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "schimpe2018_calendar.csv"
    monkeypatch.setattr(sony_lfp, "fetch", lambda name: {path.name: path})
    path.write_text("TdegC,soc,t,qdis\n25,0.5,0,1.0\n25,0.5,10,99.0\n")
    with pytest.raises(MeasuredDataError, match=r"schimpe2018_calendar\.csv.*qdis"):
        sony_lfp.sony_lfp_calendar()
    path.write_text("TdegC,soc,t\n25,0.5,0\n")
    with pytest.raises(MeasuredDataError, match="qdis"):
        sony_lfp.sony_lfp_calendar()
