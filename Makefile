PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
SPREAD := -n auto --maxprocesses 4 --dist loadgroup --no-loadscope-reorder

.PHONY: demo test check bench clean

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV) || python3 -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip

$(INSTALLED): pyproject.toml constraints.txt | $(VENV)/bin/python
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[test]'
	touch $@

demo: $(INSTALLED)  ## grow POOL★ from the embedded factory, offline
	$(BIN)/poolstar demo --out demo

test: $(INSTALLED)  ## lint, types, import directions, every test
	$(MAKE) lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest $(SPREAD)

check: $(INSTALLED)  ## lint, types, import directions, fast tests
	$(MAKE) lint
	$(BIN)/python -m pytest -m 'not slow and not bench'

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(INSTALLED)  ## the figures of the README, measured again
	$(BIN)/python -m pytest tests/bench --override-ini testpaths=tests/bench -s -m bench

clean:
	rm -rf $(VENV) demo build *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
