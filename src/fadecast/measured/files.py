"""Where a measured file that a configuration names lies."""

import os
from importlib.util import find_spec
from pathlib import Path

from fadecast.locations import beside
from fadecast.measured.catalogue import CATALOGUE, MeasuredDataError, fetch

PACKAGE, DATA = "package:", "data:"


def find_measured(name: str, folder: Path) -> Path:
    """Return the path of a measured file.

    Parameters
    ----------
    name
        `package:NAME/path` inside an installed Python package, `data:SET/file` of the catalogue, or a path, if relative
        then to `folder`, which it may not lead out of.
    folder
        Of the configuration.

    Raises
    ------
    MeasuredDataError
        When there is no such package, set or file, or the path leads where it may not.
    MissingDataError
        When the files of the set are not on this machine; says how to get them.
    """
    if name.startswith(PACKAGE):
        package, _, inside = name.removeprefix(PACKAGE).partition("/")
        spec = find_spec(package) if package.isidentifier() else None
        if spec is None or not spec.submodule_search_locations:
            raise MeasuredDataError(f"{name}: no Python package {package!r}; install it with: pip install {package}")
        # The package is not imported: a configuration runs no code. The join of an absolute path is that path.
        home = Path(os.path.realpath(spec.submodule_search_locations[0]))
        path = Path(os.path.realpath(home / inside))
        if not path.is_relative_to(home):
            raise MeasuredDataError(f"{name}: leads to {path}, out of the package; must be a path inside {home}")
    elif name.startswith(DATA):
        source, _, file = name.removeprefix(DATA).partition("/")
        if source not in CATALOGUE:
            raise MeasuredDataError(f"{name}: no set {source!r} in the catalogue; it has {', '.join(CATALOGUE)}")
        known = fetch(source)
        if file not in known:
            raise MeasuredDataError(f"{name}: no file {file!r} in the set {source}; it has {', '.join(known)}")
        return known[file]
    else:
        try:
            path = beside(folder, name)
        except ValueError as error:
            raise MeasuredDataError(f"{name}: {error}") from None
    if not path.is_file():
        raise MeasuredDataError(f"{name}: {'is a folder' if path.is_dir() else f'no such file ({path})'}")
    return path
