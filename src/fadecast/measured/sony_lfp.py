"""Measured storage of Sony 26650 cells of lithium iron phosphate."""

import pandas as pd

from fadecast.measured.catalogue import check_columns, fetch

_STORED = "schimpe2018_lfp_calendar"
_RANGES = {"TdegC": (-40.0, 90.0), "soc": (0.0, 1.0), "t": (0.0, 2_000.0), "qdis": (0.3, 1.1)}


def sony_lfp_calendar() -> pd.DataFrame:
    """Return the capacity of stored cells: 22 series of temperature and charge, up to 234 days.

    Read off figures of Schimpe et al. 2018 (doi:10.1149/2.1181714jes) by others; one value for each time, so that
    nothing is known of the spread between cells.

    Returns
    -------
    Columns `temperature` [degC], `soc` [1], `days`, and `capacity` over that at the start [1].

    Raises
    ------
    MissingDataError, MeasuredDataError
        When the file is not there or not as expected.
    """
    path = fetch(_STORED)["schimpe2018_calendar.csv"]
    frame = pd.read_csv(path)
    check_columns(frame, path.name, _RANGES)
    names = {"TdegC": "temperature", "soc": "soc", "t": "days", "qdis": "capacity"}
    return frame.rename(columns=names)[list(names.values())]
