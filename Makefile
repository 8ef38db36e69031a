# Needs make and Python 3.11 to 3.14 (newer ones at your own risk), nothing else. Plain `make` prints the help.
# On Windows without make: README.md has the same commands.

PYTHON ?= python3
PIP_ARGS ?=

BIN := .venv/bin
READY := .venv/.stamp
WIDGETS_7 := .venv/ipywidgets-7/.stamp
export PATH := $(CURDIR)/$(BIN):$(PATH)
export PIP_DISABLE_PIP_VERSION_CHECK := 1

# One thread a process and two processes: on two cores three times as fast as one process with two threads.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2 --dist loadscope
# A dead kernel must not hang the run; text is compared in cells tagged nbval-check-output.
NOTEBOOKS := --nbval-lax --nbval-current-env --nbval-cell-timeout 180 --nbval-kernel-startup-timeout 120

.DEFAULT_GOAL := help
.PHONY: help run test check lint lab notebooks site clean

help: ## print this help
	@echo "hatlib: a course on super-resolution, from the degradation model to HAT"
	@echo
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile
	@echo
	@echo "The first command sets up .venv. To choose the Python:  make run PYTHON=/path/to/python3.13"
	@echo "All packages have wheels for Python 3.11 to 3.14 on Linux, Windows and Apple silicon; Intel Macs have no torch."
	@echo "On Linux without an NVIDIA GPU, a smaller torch (0.2 GB instead of several GB):"
	@echo "  make run PIP_ARGS='--extra-index-url https://download.pytorch.org/whl/cpu'"

run: $(READY) ## the whole course: runs every notebook, shows it in build/index.html
	@$(BIN)/python -m hatlib course

test: lint $(WIDGETS_7) ## all tests: the linters, the unit tests, every notebook
	@echo "pytest, tests/ and notebooks/ (up to 20 minutes on two cores):"
	@HATLIB_PROFILE=quick $(PYTEST) tests notebooks $(NOTEBOOKS)

check: lint $(WIDGETS_7) ## the quick part of the tests: all but the notebooks
	@$(PYTEST) tests

lint: $(READY) ## the linters: ruff, mypy, import-linter, codespell, zizmor
	@echo "ruff:" && $(BIN)/python -m ruff check .
	@echo "mypy:" && $(BIN)/python -m mypy
	@echo "import-linter:" && $(BIN)/lint-imports --no-logo
	@$(BIN)/python -m codespell_lib
	@$(BIN)/zizmor --offline --quiet --no-progress .github

lab: $(READY) ## open the notebooks in JupyterLab
	@$(BIN)/python -m jupyterlab notebooks/00_start_here.ipynb

notebooks: $(READY) ## run every notebook and store its outputs in notebooks/
	@$(BIN)/python -m hatlib course --store

site: $(READY) ## the site: the course to read, the API, the pages; writes build/site/index.html
	@$(BIN)/python docs/build.py

clean: ## remove build/ and caches; keeps .venv and the downloads in data/
	@rm -rf build dist *.egg-info .pytest_cache .hypothesis .mypy_cache .ruff_cache .import_linter_cache
	@find hatlib tests experiments benchmarks notebooks \( -name __pycache__ -o -name .ipynb_checkpoints \) -prune -exec rm -rf {} + 2>/dev/null || true
	@echo "removed build/ and caches"

# The environment: made once, and again when what it should hold has changed.
$(READY): pyproject.toml constraints.txt
	@$(PYTHON) .ci/check_python.py
	@echo "Setting up .venv with $$($(PYTHON) --version): a few minutes, most of them downloading torch"
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install -qq $(PIP_ARGS) -c constraints.txt -e '.[notebooks,docs,export,tests]'
	@touch $@
	@echo ".venv is ready"

# Colab's ipywidgets, beside the environment and not in it, for tests/course/widgets. Without it
# one test is skipped.
$(WIDGETS_7): $(READY) .github/colab.txt
	@{ $(BIN)/python -m pip install -qq --upgrade --no-deps --target $(@D) -c .github/colab.txt \
	    ipywidgets ipython_genutils && touch $@; } || echo "ipywidgets 7 could not be installed: its test is skipped"
