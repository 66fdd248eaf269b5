# Each target creates .venv with pip if needed, and reuses it.  PYTHON=python3.12 selects a Python.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo shell test test-slow lint check-gpu clean

demo: .venv/installed
	$(BIN)/python train.py model=dlsgan data=mnist5k experiment=demo

shell: .venv/installed
	PATH="$(CURDIR)/$(BIN):$$PATH" $${SHELL:-sh}

test: .venv/installed
	PYTHONWARNDEFAULTENCODING=1 $(BIN)/python -m pytest -n auto --dist worksteal -m "not slow"

test-slow: .venv/installed
	$(BIN)/python -m pytest -m slow

lint: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

check-gpu: .venv/installed
	$(BIN)/python scripts/check_gpu.py

clean:
	rm -rf .venv build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache

.venv/installed: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@
