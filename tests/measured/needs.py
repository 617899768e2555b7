"""Skips of tests that read measured files."""

import pytest

from fadecast.measured.catalogue import CATALOGUE, DATA_VARIABLE, available, data_root


def needs(name: str) -> pytest.MarkDecorator:
    source = CATALOGUE[name]
    return pytest.mark.skipif(
        not available(name),
        reason=f"measured data {name} is not in {data_root()}; get it from {source.origin} and set {DATA_VARIABLE}",
    )
