"""Experiments and benchmarks still fit the package: each can be imported, which runs nothing."""

import importlib.util
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SCRIPTS = sorted(path for folder in ("experiments", "benchmarks") for path in (ROOT / folder).rglob("*.py"))


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_script_can_be_imported(path, monkeypatch):
    monkeypatch.syspath_prepend(path.parent)
    before = set(sys.modules)
    specification = importlib.util.spec_from_file_location(f"script_{path.parent.name}_{path.stem}", path)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    for name in set(sys.modules) - before:
        # Scripts of one folder import each other by bare names, which those of another may have too.
        if "." not in name and (path.parent / f"{name}.py").exists():
            del sys.modules[name]
    assert module.__doc__
