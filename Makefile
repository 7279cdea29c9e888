# Everything happens in .venv, made on first use from requirements.lock.
# Needs python3 (3.11 or newer, with venv), git and make; nothing else.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready

.PHONY: help install demo check test soak lock clean

help:                ## this list
	@awk -F':.*## ' '/^[a-z]+:.*## /{printf "make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(READY)    ## set up .venv with exact versions

# uv installs the same versions as pip, ten times faster; as pip does, compile them once here and
# not at the start of every command
$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "error: $(PYTHON) is older than 3.11; use make PYTHON=python3.12 or newer" >&2; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || \
	  { echo "error: python3 has no venv; on Debian and Ubuntu: apt install python3-venv" >&2; exit 2; }
	@echo "installing into $(VENV) (torch is large: a few minutes on a slow line)"
	@command -v uv >/dev/null || test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet uv
	@uv=$$(command -v uv || echo $(BIN)/uv); \
	  VIRTUAL_ENV=$(CURDIR)/$(VENV) $$uv pip install --quiet --compile-bytecode -r requirements.lock && \
	  VIRTUAL_ENV=$(CURDIR)/$(VENV) $$uv pip install --quiet --no-deps -e .
	@touch $@

demo: $(READY)       ## train on phantoms and print where the report is: a minute or two
	$(BIN)/bt-train experiment=demo

check: $(READY)      ## format, lint, types
	$(BIN)/ruff format --check src tests scripts
	$(BIN)/ruff check src tests scripts
	$(BIN)/mypy

# two workers with one thread each: small tensors gain nothing from threads
test: check          ## check, then the whole test suite
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist worksteal

soak: $(READY)       ## the long versions of some tests: an hour or more
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 -m soak

lock: $(READY)       ## resolve requirements.lock anew from pyproject.toml
	printf 'torch==2.13.0\ntorchvision==0.28.0\n' | $(BIN)/uv pip compile --quiet --universal \
	  --no-header --no-annotate --no-emit-index-url --python-version 3.11 --extra dev \
	  -c - pyproject.toml -o requirements.lock

clean:               ## remove .venv and caches; runs stay
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis
