# Every target sets up what it needs, so each works on a fresh Debian machine with Python 3.11.
#   make study   the quick data-scale study on the built-in data: a table and a picture
#   make test    the tests on TensorFlow, JAX and PyTorch
#   make check   lint, format and types
#   make bench   how fast models compute here, beside their peers: a table and a picture
#   make docs    the documentation, in docs/_build/html; a broken link is an error
# Variables: VENV=.venv  PYTHON=python3.11  PIP_FLAGS=  BACKENDS="tensorflow jax torch"
#   WORKERS=2 (processes of tests and trials)  STUDY=quick  RESULTS=runs  PYTEST_FLAGS=  BENCH_FLAGS=

SHELL := /bin/bash
VENV ?= .venv
PYTHON ?= $(shell command -v python3.11 || command -v python3)
PIP_FLAGS ?=
BACKENDS ?= tensorflow jax torch
WORKERS ?= 2
STUDY ?= quick
RESULTS ?= runs
PYTEST_FLAGS ?=
BENCH_FLAGS ?=

PY := $(VENV)/bin/python
PIP := $(PY) -m pip install --quiet $(PIP_FLAGS) -c constraints.txt
FASHION_MNIST := /usr/share/datasets/fashion-mnist

.PHONY: help study test check bench docs format venv constraints fashion-mnist clean
help:
	@sed -n '2,8s/^# //p' Makefile

# --- set-up: stamps lie in the environment, so deleting it deletes them ----------------------
$(VENV)/.created:
	@test -n "$(PYTHON)" || { echo "No Python found: install python3.11, or set PYTHON=."; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "$(PYTHON) is older than Python 3.11: set PYTHON= to a newer one."; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || .ci/apt python3-venv \
	  || { echo "Python's venv module is missing: apt-get install python3-venv"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

# Without build isolation the build tools are the pinned ones too.
$(VENV)/.build: $(VENV)/.created pyproject.toml constraints.txt
	$(PIP) setuptools wheel
	@touch $@

$(VENV)/.study: $(VENV)/.build
	$(PIP) --no-build-isolation -e '.[tensorflow,studies]'
	@touch $@

$(VENV)/.test: $(VENV)/.build
	$(PIP) --no-build-isolation -e '.[all]'
	@touch $@ $(VENV)/.study

venv: $(VENV)/.test

# --- what to run ------------------------------------------------------------------------------
study: $(VENV)/.study
	$(PY) -m studies run $(STUDY) --backend tensorflow --workers $(WORKERS) --results $(RESULTS)

test: $(VENV)/.test fashion-mnist
	@PY=$(PY) WORKERS=$(WORKERS) FASHION_MNIST=$(FASHION_MNIST) .ci/test-backends \
	  $(BACKENDS) -- $(PYTEST_FLAGS)

bench: $(VENV)/.test
	$(PY) -m studies bench --output $(RESULTS)/bench $(BENCH_FLAGS)

check: $(VENV)/.test
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy

docs: $(VENV)/.test
	$(PY) -m sphinx -W --keep-going -q -b html docs docs/_build/html
	@echo "Open docs/_build/html/index.html"

format: $(VENV)/.test
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

# Real images for the tests that want them. Not fatal: the tests are then left out by name.
fashion-mnist:
	@test -d $(FASHION_MNIST) || .ci/apt dataset-fashion-mnist \
	  || echo "No $(FASHION_MNIST): install Debian's package dataset-fashion-mnist to run its tests."

# Freezes what is installed now; local version parts (+cpu) depend on the machine and go.
constraints: $(VENV)/.test
	@{ sed -n '/^#/p' constraints.txt; \
	  $(PY) -m pip freeze --all | grep -E '^[A-Za-z0-9_.-]+==' \
	  | grep -viE '^(pip|keras[-_]vit)==' | sed 's/+.*//' | sort -f; } > constraints.txt.new
	@mv constraints.txt.new constraints.txt

clean:
	rm -rf build dist docs/_build docs/api *.egg-info .pytest_cache .ruff_cache .mypy_cache .hypothesis
