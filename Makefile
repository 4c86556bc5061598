# The ways to use this tree. `make run` and `make test` are all that most people need.
SHELL := /bin/bash
PYTHON ?= python3
BIN := .venv/bin
CONFIG ?= config.example.toml

.PHONY: run demo test check install-test pages seeds bench bench-up bench-down crash interop fuzz clean

run: .venv/run.stamp            ## start the appliance with config.example.toml on high ports
	@$(BIN)/estafeta run --config $(CONFIG) --trial

demo: .venv/run.stamp           ## the whole river on made-up mail, every body checked, under 30 s
	@$(BIN)/python -m tests.demo

test: .venv/dev.stamp           ## all rings of tests in their short form
	@$(BIN)/python -m pytest $(ARGS)

check: .venv/dev.stamp          ## style, types, floors, translations, generated files
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache
	@$(BIN)/python -m pytest -q tests/test_house.py

crash: .venv/dev.stamp          ## the long crash loops: 200 kills, power cuts, full disk
	@$(BIN)/python -m pytest -q -m "slow or not slow" tests/crash --long $(ARGS)

fuzz: .venv/dev.stamp           ## ten minutes for each parser
	@ESTAFETA_FUZZ_SECONDS=$${SECONDS_EACH:-600} $(BIN)/python -m pytest -q -m "slow or not slow" tests/fuzz tests/bridge/wire/imap/test_fuzz.py $(ARGS)

interop: .venv/dev.stamp        ## real clients and servers of Debian on the other side
	@$(BIN)/python -m pytest -q -m "slow or not slow" tests/interop --long $(ARGS)

pages: .venv/dev.stamp          ## every page in Chromium, both widths and schemes; PICTURES=DIR keeps what it saw
	@ESTAFETA_PICTURES="$(PICTURES)" $(BIN)/python -m pytest -q -m "slow or not slow" tests/pages $(ARGS)

install-test: .venv/dev.stamp   ## docs/install.md as printed, in a Debian that debootstrap makes (as root)
	@$(BIN)/python -m tests.packaging.install $(ARGS)

seeds: .venv/dev.stamp          ## every sentence of the two documents, tried with real programs
	@$(BIN)/python -m tests.seeds.run $(ARGS)

bench: .venv/dev.stamp          ## first figures beside the peers: docs/benchmarks.md says how
	@$(BIN)/python -m tests.bench.run $(ARGS)

bench-up: .venv/run.stamp       ## LAB=DIR: start the appliance for the workload drivers
	@$(BIN)/python -m tests.bench.lab up "$(LAB)"

bench-down: .venv/run.stamp     ## LAB=DIR: stop it
	@$(BIN)/python -m tests.bench.lab down "$(LAB)"

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Estafeta needs Python 3.11 or newer; this is $$($(PYTHON) --version)."; exit 1; }
	@$(PYTHON) -m venv .venv \
		|| { echo "Python's venv is missing: apt-get install python3-venv"; rm -rf .venv; exit 1; }

.venv/run.stamp: .venv/bin/python pyproject.toml constraints.txt
	@echo "Installing what Estafeta needs into .venv (once) ..."
	@$(BIN)/pip install -q --disable-pip-version-check -c constraints.txt -e .
	@touch $@

.venv/dev.stamp: .venv/run.stamp
	@$(BIN)/pip install -q --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

clean:
	rm -rf .venv var build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
