"""Tables from anywhere, as CSV or parquet: read by pandas, whose surprises are refused before or after."""

import gzip
from pathlib import Path

import pandas as pd

_MOST_COLUMNS = 2000
"""pandas takes minutes for the names of 100,000 columns, in a file of 200 kB."""
_MOST_ROWS = 200_000_000
"""A few kB of parquet can stand for more rows than any memory holds."""
_HEAD = 1_000_000
"""Bytes that are looked at for lines that are too wide: those that can hold names."""


def read_table(path: Path, skip_blank_lines: bool = True) -> pd.DataFrame:
    """Read `.parquet`, or else CSV, gzipped where it ends in `.gz`.

    Parameters
    ----------
    path
        File.
    skip_blank_lines
        False keeps them as rows without values, so that a row can be named by its line.

    Raises
    ------
    ImportError
        When pyarrow is not there for parquet.
    ValueError
        When it cannot be read as a table; says why, and not which file.
    """
    if path.exists() and not path.is_file():
        raise ValueError("is no regular file")
    try:
        if path.name.endswith(".parquet"):
            return _parquet(path)
        check_width(head_of(path))
        # Thousands of rows in one go, so that a column has one type.
        table = pd.read_csv(path, low_memory=False, skip_blank_lines=skip_blank_lines)
    except ImportError:
        raise
    except Exception as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise ValueError(f"cannot be read as a table ({reason})") from None
    if not isinstance(table.index, pd.RangeIndex):
        raise ValueError("has more values in its rows than names in its first line; must have a name for each column")
    return table


def head_of(path: Path) -> bytes:
    """Return the beginning of a file, gzipped or not."""
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        return file.read(_HEAD)


def check_width(head: bytes) -> None:
    """Refuse text that has a line of more columns than anything measured.

    Raises
    ------
    ValueError
        Which line that is.
    """
    for number, line in enumerate(head.splitlines(), 1):
        columns = 1 + max(map(line.count, (b",", b";", b"\t")))
        if columns > _MOST_COLUMNS:
            raise ValueError(f"line {number} has {columns:,} columns or more; must have {_MOST_COLUMNS:,} at most")


def _parquet(path: Path) -> pd.DataFrame:
    from pyarrow import parquet  # type: ignore[import-untyped]

    size = parquet.read_metadata(path)
    if size.num_rows > _MOST_ROWS or size.num_columns > _MOST_COLUMNS:
        raise ValueError(
            f"has {size.num_rows:,} rows and {size.num_columns:,} columns; must have {_MOST_ROWS:,} and "
            f"{_MOST_COLUMNS:,} at most"
        )
    return pd.read_parquet(path)
