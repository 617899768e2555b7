"""Where files that a configuration names may lie. Imports nothing heavy, so that reading a study stays quick."""

import os
from pathlib import Path

DATA_VARIABLE = "FADECAST_DATA"


def data_root() -> Path:
    """Return `$FADECAST_DATA`, else `shared/data` beside the working checkout."""
    named = os.environ.get(DATA_VARIABLE)
    return Path(named) if named else Path(__file__).resolve().parents[2].parent / "shared" / "data"


def beside(folder: Path, name: str) -> Path:
    """Return the path of a file that a configuration names.

    An absolute path is taken as it is. A relative one must stay in the folder of the configuration or in that of
    measured data, links followed: a configuration from elsewhere must not read files that nobody meant it to.

    Parameters
    ----------
    folder
        Of the configuration.
    name
        As it stands there.

    Raises
    ------
    ValueError
        When a relative path leads elsewhere; says where.
    """
    # Unlike Path.resolve, realpath has nothing against links in a circle; they are no file later.
    path = Path(os.path.realpath(folder / name))
    homes = [Path(os.path.realpath(home)) for home in (folder, data_root())]
    if not (Path(name).is_absolute() or any(path.is_relative_to(home) for home in homes)):
        raise ValueError(
            f"leads to {path}, which is neither in {homes[0]}, the folder of this file, nor in that of measured data, "
            f"{homes[1]}; give an absolute path on purpose"
        )
    return path
