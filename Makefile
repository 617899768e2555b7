PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: demo test test-slow test-slurm lint clean

demo: $(INSTALLED)
	$(BIN)/fadecast run configs/demo.yaml

test: $(INSTALLED)
	$(BIN)/pytest -n 2 --dist loadfile -m "not slow and not slurm"

test-slow: $(INSTALLED)
	$(BIN)/pytest -n 2 --dist loadfile -m slow

# As root, with the Debian packages that docs/cluster.md names.
test-slurm: $(INSTALLED)
	$(BIN)/pytest -n 0 -m slurm

lint: $(INSTALLED)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Run folders under results/ are kept.
clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("Python >= 3.11 is needed; name one: make PYTHON=python3.12" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev,measured]'
	touch $@
