# Everything happens in .venv; nothing needs to be active or installed but Python 3.11+ and make.
# uv is used where it is present; python -m venv and pip do the same where it is not.

VENV := .venv
BIN := $(VENV)/bin
UV := $(shell uv --version >/dev/null 2>&1 && echo uv)
PYTHONS := $(if $(PYTHON),"$(PYTHON)",python3.14 python3.13 python3.12 python3.11 python3 python)
PIP := $(if $(UV),uv pip,$(BIN)/python -I -m pip)
INTO := $(if $(UV),--python $(BIN)/python,--disable-pip-version-check)
INSTALL := $(PIP) install --quiet $(INTO) $(if $(UV),--compile-bytecode)
RUNTIME_LOCK := requirements/runtime.lock
DEV_LOCK := requirements/dev.lock
# A lock is complete, so nothing is resolved: what a release of tomorrow asks for can't change what is installed.
INSTALL_LOCK := $(INSTALL) --no-deps --require-hashes -r
CHECK := found=$$($(PIP) check $(INTO) 2>&1) || { echo "$$found" >&2; exit 1; }
CODE := intercom_calls sources pipelines sandbox tests $(wildcard benchmarks docs) hatch_build.py

# A virtual environment holds absolute paths and a link to its Python: where the folder was moved or that Python
# went, it is made anew.
MADE_IN := $(shell $(BIN)/python -c '' 2>/dev/null && cat $(VENV)/made-in 2>/dev/null)

# Where packages come from is the user's to set (index, proxy, certificates); where they go and which is not.
unexport PIP_DRY_RUN PIP_PREFIX PIP_PYTHON PIP_REQUIRE_HASHES PIP_ROOT PIP_TARGET UV_CONSTRAINT UV_OVERRIDE UV_REQUIRE_HASHES
export PIP_CONSTRAINT := /dev/null
export PIP_USER := 0

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-long lint audit pictures format lock clean anew

help: ## this list
	@echo 'make demo sets everything up and loads sample calls; no token is needed.'
	@echo
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{ printf "%-20s%s\n", $$1, $$2 }'

setup: $(VENV)/runtime ## leaves .venv/bin/intercom-calls, with DuckDB and PostgreSQL

demo: $(VENV)/runtime ## loads sample calls from a local stand-in of the API into DuckDB
	@$(BIN)/intercom-calls demo

test: $(VENV)/dev ## passes the tests; ARGS='-k words': those; CI=1: and branch coverage
	@$(BIN)/python -m pytest -n auto --dist worksteal -m 'not long' $(ARGS) $(if $(CI),--cov)

test-long: $(VENV)/dev ## passes the long tests: kills, many examples, minutes of waiting
	@$(BIN)/python -m pytest -n auto --dist worksteal -m 'long or hypothesis' --hypothesis-profile=$(if $(CI),half,deep) $(ARGS)

lint: $(VENV)/dev ## style, types, the direction of imports, the size of modules
	@$(BIN)/ruff check $(CODE)
	@$(BIN)/ruff format --check $(CODE)
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo --no-cache
	@find $(CODE) -name .venv -prune -o -name '*.py' -exec awk 'FNR == 401 { print FILENAME ": over 400 lines; split it"; bad = 1 } END { exit bad }' {} +

AUDIT := $(VENV)/audit
audit: $(AUDIT)/bin/pip-audit ## holds the locked packages against the known vulnerabilities; needs the network
	@$< --strict --require-hashes --disable-pip --progress-spinner off -r requirements/runtime.lock

pictures: $(VENV)/runtime ## makes the README's pictures anew, from a real run
	@$(BIN)/python docs/make_pictures.py

format: $(VENV)/dev ## puts imports and layout in order
	@$(BIN)/ruff check --fix-only $(CODE)
	@$(BIN)/ruff format $(CODE)

LOCKER := $(if $(UV),uv,$(VENV)/uv/bin/uv)
COMPILE := $(LOCKER) pip compile pyproject.toml --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
  --no-header --no-annotate --group build --constraint requirements/constraints.in --extra postgres
EVERYTHING := --extra sql --extra s3 --extra dev
lock: $(if $(UV),,$(LOCKER)) ## takes the newest versions that pyproject.toml allows, and for lowest.lock the oldest
	@$(COMPILE) --output-file requirements/runtime.lock
	@$(COMPILE) $(EVERYTHING) --constraint requirements/runtime.lock --output-file requirements/dev.lock
	@$(COMPILE) $(EVERYTHING) --resolution lowest-direct --output-file requirements/lowest.lock

clean: ## removes the virtual environment and what tools left
	@rm -rf $(VENV) .coverage .coverage.* .hypothesis .mypy_cache .pytest_cache .ruff_cache


# The virtual environment: made here, filled from the locks below.

ifneq ($(MADE_IN),$(CURDIR))
$(VENV)/made-in: anew
endif
anew:

FITS := import sys; print("%d.%d.%d" % sys.version_info[:3]); sys.exit(not (3, 11) <= sys.version_info < (3, 15))

$(VENV)/made-in:
	@fits=; unfit=; for python in $(PYTHONS); do \
	  version=$$("$$python" -c '$(FITS)' 2>/dev/null) && fits=yes && break; \
	  [ -z "$$version" ] || unfit="$$unfit, $$python is $$version"; \
	done; \
	if [ -z "$$fits" ]; then \
	  echo "error: Python 3.11 to 3.14 is needed$${unfit:-, and none was found}; install one, or name it: make PYTHON=/path/to/python3" >&2; \
	  exit 1; \
	fi; \
	echo "Setting up .venv with Python $$version (once; a minute or so) ..." >&2; \
	rm -rf $(VENV); \
	$(if $(UV),uv venv --quiet --python "$$(command -v "$$python")","$$python" -m venv) $(VENV)
	@pwd -P > $@

$(VENV)/runtime: $(RUNTIME_LOCK) pyproject.toml $(VENV)/made-in
	@$(if $(UV),,$(BIN)/python -m pip --version >/dev/null 2>&1 || $(BIN)/python -m ensurepip >/dev/null)
	@$(INSTALL_LOCK) $(RUNTIME_LOCK)
	@$(INSTALL) --no-deps --no-build-isolation --editable .
	@$(CHECK)
	@$(BIN)/python -m compileall -q intercom_calls sources pipelines sandbox
	@touch $@

$(VENV)/dev: $(DEV_LOCK) $(VENV)/runtime
	@$(INSTALL_LOCK) $(DEV_LOCK)
	@$(CHECK)
	@touch $@

$(VENV)/uv/bin/uv: $(VENV)/runtime
	@$(BIN)/python -m venv $(VENV)/uv
	@$(VENV)/uv/bin/python -I -m pip install --quiet --disable-pip-version-check uv

# Apart from what it judges, and the newest there is.
$(AUDIT)/bin/pip-audit: $(VENV)/runtime
	@$(if $(UV),uv venv --quiet --clear --python $(BIN)/python,$(BIN)/python -m venv --clear) $(AUDIT)
	@$(if $(UV),uv pip install --quiet --python $(AUDIT)/bin/python,$(AUDIT)/bin/python -m pip install --quiet --disable-pip-version-check) pip-audit

include requirements/environments.mk

-include tests/crash/crash.mk

-include benchmarks/bench.mk
