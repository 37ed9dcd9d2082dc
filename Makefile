# Every target sets up what it needs: a fresh clone, Python 3.11 or newer, and make are enough.
.DEFAULT_GOAL := help
SHELL := /bin/sh

VENV  := .venv
BIN   := $(VENV)/bin
PY    := $(BIN)/python
STAMP := $(VENV)/.ready
PEERS := .venv-bench

# DIR=…  a folder of Python packages for the demo     URL=…  the store for the demo, when it shall not be a new file
# STORES, JOBS, KILLS, SERVER_KILLS  the random-kill runs: where, and how large
# RESERVED, RESERVED_KILLS           the same of jobs that hold things
DIR    ?=
URL    ?=
STORES ?= sqlite postgres redis
JOBS   ?= 20000
KILLS  ?= 200
SERVER_KILLS ?= 20
RESERVED ?= 10000
RESERVED_KILLS ?= 100
# Three at once keep two cores busy: many tests wait for processes and servers. The order is that of tests/conftest.py.
TOGETHER := -n 3 --dist loadgroup --no-loadscope-reorder

# The tests start thousands of interpreters: each is to find its modules compiled.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help setup demo test check bench docs prove clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# The newest Python from 3.11 on that really runs and can make an environment (a name on PATH may be an empty shim).
$(STAMP): pyproject.toml
	@set -e; \
	if ! $(PY) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	  found=; \
	  for python in $(PYTHON) python3.16 python3.15 python3.14 python3.13 python3.12 python3.11 python3 python; do \
	    if $$python -c 'import ensurepip, sqlite3, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	      found=$$python; break; \
	    fi; \
	  done; \
	  if [ -z "$$found" ]; then \
	    echo "No Python 3.11 or newer with venv and sqlite3 was found; nothing was set up." >&2; \
	    echo "Install one (on Debian: apt install python3 python3-venv), or name it: make PYTHON=/path/to/python3.12" >&2; \
	    exit 1; \
	  fi; \
	  echo "setting up $(VENV) with $$($$found --version)"; \
	  $$found -m venv --clear $(VENV); \
	fi; \
	$(PY) -m pip --version | awk '{ split($$2, v, "."); exit !(v[1] > 25 || (v[1] == 25 && v[2] >= 1)) }' \
	  || $(PY) -m pip install --quiet --disable-pip-version-check --upgrade pip; \
	$(PY) -m pip install --quiet --disable-pip-version-check --editable . --group dev; \
	touch $(STAMP)

setup: $(STAMP) ## make .venv with the package and its tools

demo: export PACKHORSE_URL := $(or $(URL),$(PACKHORSE_URL))
demo: $(STAMP) ## see a real worker at work (DIR=… packages of your own, URL=… a store of your own)
	$(PY) -B examples/demo/run.py $(DIR)

test: $(STAMP) lint ## everything: 15 to 20 minutes on two cores
	$(PY) -m tests.together $(TOGETHER)

check: $(STAMP) lint ## format, lint, types, imports, unit tests, SQLite conformance: about a minute
	$(PY) -m pytest $(TOGETHER) -m "not slow" tests/unit tests/conformance tests/packaging

.PHONY: lint
lint: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(PEERS)/.ready ## measure the speed, side by side with peers (ARGS='--store redis -k 3', …)
	$(PY) -m benchmarks $(ARGS)

$(PEERS)/.ready: $(STAMP) pyproject.toml
	$(PY) -m venv --clear --without-pip $(PEERS)
	$(PY) -m pip --python $(PEERS)/bin/python install --quiet --disable-pip-version-check --group bench
	touch $@

docs: $(STAMP) ## execute every example of the docs, and check that every link resolves
	$(PY) -m pytest tests/docs

prove: $(STAMP) ## random kills of children, workers and servers: no job lost, none stuck, no overlap, every extra run explained
	@set -e; for store in $(STORES); do \
	  $(PY) -m tests.proof.kill_run --store $$store --jobs $(JOBS) --kills $(KILLS) --server-kills $(SERVER_KILLS); \
	  $(PY) -m tests.proof.reserved_run --store $$store --jobs $(RESERVED) --kills $(RESERVED_KILLS); \
	done

clean: ## remove everything made here
	rm -rf $(VENV) $(PEERS) build dist demo-out benchmarks/results .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
