# Each target creates .venv with pip if needed, and reuses it.  PYTHON=python3.12 selects a Python.
PYTHON ?= python3
# for the oldest and the newest versions of all dependencies
OLDEST_PYTHON ?= python3.11
NEWEST_PYTHON ?= python3.13
BIN := .venv/bin

.PHONY: demo shell test test-slow test-large test-oldest test-newest bench soak audit lint docs check-gpu clean

demo: .venv/installed
	$(BIN)/python train.py model=dlsgan data=mnist5k experiment=demo

shell: .venv/installed
	PATH="$(CURDIR)/$(BIN):$$PATH" $${SHELL:-sh}

test: .venv/installed
	PYTHONWARNDEFAULTENCODING=1 $(BIN)/python -m pytest -n auto --dist worksteal -m "not slow"

test-slow: .venv/installed
	$(BIN)/python -m pytest -m "slow and not large"

# half an hour on two cores, and up to 20 GB of memory: each published experiment at its size
test-large: .venv/installed
	$(BIN)/python -m pytest -m large

# the lowest version of each dependency that pyproject.toml allows, and the newest
test-oldest: .venv-oldest/installed
	.venv-oldest/bin/python -m pip check
	.venv-oldest/bin/python -m pytest -n auto --dist worksteal -m "not slow"

test-newest: .venv-newest/installed
	.venv-newest/bin/python -m pip check
	.venv-newest/bin/python -m pytest -n auto --dist worksteal -m "not slow"

# a quarter of an hour on a machine that does nothing else; writes docs/performance.md
bench: .venv/installed
	$(BIN)/python -m benchmarks

# some minutes on a machine that does nothing else
soak: .venv/installed
	$(BIN)/python -m scripts.soak

# asks the Python package index for known vulnerabilities; fails if it cannot be asked
audit: .venv-audit/installed
	.venv-audit/bin/python -m pip_audit --strict --no-deps --disable-pip -r constraints.txt

lint: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# the pages as a website, in build/site; a warning is an error
docs: .venv-docs/installed
	NO_MKDOCS_2_WARNING=1 .venv-docs/bin/python -m mkdocs build --strict --site-dir build/site

# four calls of ten minutes do all: docs/gpu.md has the ARGS of each
check-gpu: .venv/installed
	$(BIN)/python scripts/check_gpu.py $(ARGS)

clean:
	rm -rf .venv .venv-oldest .venv-newest .venv-audit .venv-docs build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache

.venv/installed: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@

.venv-oldest/installed: pyproject.toml constraints-oldest.txt
	$(OLDEST_PYTHON) -m venv .venv-oldest
	.venv-oldest/bin/python -m pip install --quiet --editable '.[app,dev]' --constraint constraints-oldest.txt
	touch $@

.venv-newest/installed: pyproject.toml
	$(NEWEST_PYTHON) -m venv .venv-newest
	.venv-newest/bin/python -m pip install --quiet --upgrade --editable '.[app,dev]'
	touch $@

.venv-docs/installed: pyproject.toml
	$(PYTHON) -m venv .venv-docs
	.venv-docs/bin/python -m pip install --quiet --editable '.[docs]'
	touch $@

.venv-audit/installed:
	$(PYTHON) -m venv .venv-audit
	.venv-audit/bin/python -m pip install --quiet pip-audit
	touch $@
