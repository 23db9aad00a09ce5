# `make demo` and `make test` need python3 (3.10 or newer, with venv), make and git; everything else goes into .venv.
PYTHON ?= python3
BIN := .venv/bin
PYTEST := $(BIN)/python -m pytest -n auto --maxprocesses 8 --dist worksteal

.PHONY: demo test long faults

demo: .venv/installed
	$(BIN)/python main.py

test: .venv/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(PYTEST) -m "not long"

# SIDD and DND in full size, CONTRIBUTING's recipes, some faults of each kind, torchrun, an installed package.
long: .venv/installed-dev
	$(PYTEST) -m long

# The injected faults in full: an hour or so. NLN2V_SEED=N for other ones, NLN2V_TRIALS=N for fewer.
faults: .venv/installed-dev
	NLN2V_FAULTS=full $(BIN)/python -m pytest tests/faults

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/installed: requirements.txt | .venv/bin/python
	$(BIN)/python -m pip install --disable-pip-version-check -r requirements.txt
	touch $@

.venv/installed-dev: requirements-dev.txt .venv/installed
	$(BIN)/python -m pip install --disable-pip-version-check -r requirements-dev.txt
	touch $@

