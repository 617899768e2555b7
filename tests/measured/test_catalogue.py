import hashlib

import pandas as pd
import pytest

from fadecast.measured import catalogue
from fadecast.measured.catalogue import CATALOGUE, MeasuredDataError, MissingDataError, Source

TOY = Source(
    name="toy",
    what="toys",
    folder="ageing/toy",
    files=("one.csv", "two.csv"),
    sha256=hashlib.sha256(b"first second").hexdigest(),
    citation="A. Author (2024)",
    licence="MIT",
    origin="Zenodo doi:10.0/toy",
)


@pytest.fixture
def toy(tmp_path, monkeypatch):
    monkeypatch.setattr(catalogue, "CATALOGUE", {"toy": TOY})
    monkeypatch.setenv("FADECAST_DATA", str(tmp_path))
    folder = tmp_path / TOY.folder
    folder.mkdir(parents=True)
    (folder / "one.csv").write_bytes(b"first ")
    (folder / "two.csv").write_bytes(b"second")
    return folder


def test_files_are_found_under_the_named_root(toy):
    assert catalogue.available("toy")
    assert catalogue.fetch("toy") == {"one.csv": toy / "one.csv", "two.csv": toy / "two.csv"}


def test_the_root_is_beside_the_checkout_unless_named(monkeypatch):
    monkeypatch.delenv("FADECAST_DATA", raising=False)
    root = catalogue.data_root()
    checkout = next(p for p in catalogue.Path(catalogue.__file__).parents if (p / "pyproject.toml").is_file())
    assert root == checkout.parent / "shared" / "data"


def test_a_missing_file_says_how_to_get_it(toy):
    (toy / "two.csv").unlink()
    assert not catalogue.available("toy")
    with pytest.raises(MissingDataError, match=r"1 of 2 files.*'two.csv'.*Zenodo doi:10.0/toy.*FADECAST_DATA"):
        catalogue.fetch("toy")


@pytest.mark.parametrize("contents", [b"Second", b"second\n"])
def test_changed_contents_are_refused(toy, contents):
    (toy / "two.csv").write_bytes(contents)
    with pytest.raises(MeasuredDataError, match="sha256"):
        catalogue.fetch("toy")


def test_every_source_says_where_it_is_from():
    for name, source in CATALOGUE.items():
        assert set(source.record()) == {"name", "citation", "licence", "origin"}
        assert all(source.record().values())
        assert source.name == name
        assert len(source.sha256) == 64


def test_columns_are_checked_for_presence_and_units():
    frame = pd.DataFrame({"capacity": [4.8, 4.7], "note": ["a", "b"]})
    catalogue.check_columns(frame, "cell.csv", {"capacity": (1.0, 6.0)})
    with pytest.raises(MeasuredDataError, match=r"cell.csv: no column 'days'"):
        catalogue.check_columns(frame, "cell.csv", {"days": (0.0, 1.0)})
    with pytest.raises(MeasuredDataError, match=r"'capacity' runs from 4.7 to 4.8.*unit"):
        catalogue.check_columns(frame, "cell.csv", {"capacity": (1000.0, 6000.0)})
    with pytest.raises(MeasuredDataError, match="'note' has no numbers"):
        catalogue.check_columns(frame, "cell.csv", {"note": (0.0, 1.0)})
