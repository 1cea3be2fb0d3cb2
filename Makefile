# Everything a fresh clone needs: each target first builds what it lacks in .venv.
PYTHON ?= python3
BIN := .venv/bin
PIP := -m pip install -qq --disable-pip-version-check
INSTALL := $(BIN)/python $(PIP) -c constraints/dev.txt -e
FLAGS := $(BIN)/typer mithridate.cli.program utils docs --name mithridate --title 'Command line'
INPUTS := pyproject.toml constraints/dev.txt
# Two threads each of two busy processes train 15 times slower on two cores than one thread each.
export OMP_NUM_THREADS = 1
# Each of many processes would compile all modules anew, and each run the tests.
unexport PYTHONDONTWRITEBYTECODE
# Neighbouring tests on one process share what their fixtures made.
PYTEST := pytest -n 2 --dist worksteal
# What the oldest versions can do in a few minutes: the core, the statistics and the reading of files.
QUICK := tests/core tests/statistics tests/domains/formats

.PHONY: demo test test-lowest test-flower check docs format clean
.DELETE_ON_ERROR:

demo: .venv/installed  ## poison, scan, clean and retrain on images that a dependency carries
	$(BIN)/mithridate demo --out out/demo

test: .venv/installed-dev  ## every test that needs no network
	$(BIN)/$(PYTEST)

test-lowest: .venv-lowest/installed  ## the quick ones with the oldest versions that are allowed
	.venv-lowest/bin/$(PYTEST) $(QUICK)

test-flower: .venv-flower/installed  ## the bridge to Flower, in the environment that its bounds ask for
	FLWR_TELEMETRY_ENABLED=0 FLWR_DISABLE_UPDATE_CHECK=1 .venv-flower/bin/pytest tests/bridges

check: .venv/installed-dev  ## format, lint, strict types, architecture, generated pages
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m mithridate.report.catalogue --check
	$(BIN)/python recipes/results_page.py --check
	$(FLAGS) | diff - docs/cli.md  # what differs is out of date: make docs
	$(BIN)/pytest -q tests/architecture

docs: .venv/installed-docs  ## the documentation as a folder of pages, out/site/index.html
	$(BIN)/python -m mithridate.report.catalogue --write
	$(BIN)/python recipes/results_page.py
	$(FLAGS) > docs/cli.md
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet --site-dir out/site

format: .venv/installed-dev  ## rewrite the code in the house style
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:  ## remove the environment and what was built
	rm -rf .venv .venv-lowest .venv-flower out

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/installed: $(INPUTS) | .venv/bin/python
	$(INSTALL) .
	touch $@

.venv/installed-dev: $(INPUTS) | .venv/bin/python
	$(INSTALL) '.[dev]'
	touch $@ .venv/installed

.venv/installed-docs: $(INPUTS) | .venv/bin/python
	$(INSTALL) '.[docs]'
	touch $@ .venv/installed

.venv-lowest/installed: pyproject.toml constraints/lowest.txt
	$(PYTHON) -m venv .venv-lowest
	.venv-lowest/bin/python $(PIP) -c constraints/lowest.txt -e '.[test]'
	touch $@

.venv-flower/installed: pyproject.toml constraints/flower.txt
	$(PYTHON) -m venv .venv-flower
	.venv-flower/bin/python $(PIP) -c constraints/flower.txt -e '.[flower,test]'
	touch $@
