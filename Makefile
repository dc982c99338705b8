# Everything is installed into .venv, which need not be active. Only Python 3.11+ and make are required.
# uv is used if it is installed, else python -m venv and pip.

VENV := .venv
BIN := $(VENV)/bin
UV := $(shell uv --version >/dev/null 2>&1 && echo uv)
PYTHONS := $(if $(PYTHON),"$(PYTHON)",python3.14 python3.13 python3.12 python3.11 python3 python)
PIP := $(if $(UV),uv pip,$(BIN)/python -I -m pip)
INTO := $(if $(UV),--python $(BIN)/python,--disable-pip-version-check)
INSTALL := $(PIP) install --quiet $(INTO) $(if $(UV),--compile-bytecode)
RUNTIME_LOCK := requirements/runtime.lock
DEV_LOCK := requirements/dev.lock
# A lock is complete, so nothing is resolved: a future release can't change what is installed.
INSTALL_LOCK := $(INSTALL) --no-deps --require-hashes -r
CHECK := found=$$($(PIP) check $(INTO) 2>&1) || { echo "$$found" >&2; exit 1; }
CODE := intercom_calls sources pipelines sandbox tests $(wildcard benchmarks docs) hatch_build.py

# A virtual environment contains absolute paths and a link to its Python. It is created again if the folder was moved or
# that Python is gone.
MADE_IN := $(shell $(BIN)/python -c '' 2>/dev/null && cat $(VENV)/made-in 2>/dev/null)

# The user may set where packages come from (index, proxy, certificates), but not which ones or where they are installed.
unexport PIP_DRY_RUN PIP_PREFIX PIP_PYTHON PIP_REQUIRE_HASHES PIP_ROOT PIP_TARGET UV_CONSTRAINT UV_OVERRIDE UV_REQUIRE_HASHES
export PIP_CONSTRAINT := /dev/null
export PIP_USER := 0

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-long lint audit pictures format lock clean recreate

help: ## prints this list
	@echo 'make demo sets everything up and loads sample calls; no token is needed.'
	@echo
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{ printf "%-25s%s\n", $$1, $$2 }'

setup: $(VENV)/runtime ## installs .venv/bin/intercom-calls, with DuckDB and PostgreSQL

demo: $(VENV)/runtime ## loads sample calls from a local stand-in for the API into DuckDB
	@$(BIN)/intercom-calls demo

test: $(VENV)/dev ## runs the tests; ARGS='-k words' selects some; COVERAGE=1 adds branch coverage
	@$(BIN)/python -m pytest -n auto --dist worksteal -m 'not long' $(ARGS) $(if $(COVERAGE),--cov)

test-long: $(VENV)/dev ## runs the long tests: kills, many examples, minutes of waiting
	@$(BIN)/python -m pytest -n auto --dist worksteal -m 'long or hypothesis' --hypothesis-profile=$(if $(CI),half,deep) $(ARGS)

lint: $(VENV)/dev ## checks style, types, the direction of imports, the size of modules
	@$(BIN)/ruff check $(CODE)
	@$(BIN)/ruff format --check $(CODE)
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo --no-cache
	@find $(CODE) -name .venv -prune -o -name '*.py' -exec awk 'FNR == 351 { print FILENAME ": over 350 lines; split it"; bad = 1 } END { exit bad }' {} +
	@find $(CODE) -name .venv -prune -o -name '*.py' ! -name '__init__.py' -print | sed 's|/[^/]*$$||' | sort | uniq -c | awk '$$1 > 12 { print $$2 ": over 12 modules; split it"; bad = 1 } END { exit bad }'

AUDIT := $(VENV)/audit
audit: $(AUDIT)/bin/pip-audit ## checks the locked packages for known vulnerabilities; needs the network
	@$< --strict --require-hashes --disable-pip --progress-spinner off -r requirements/runtime.lock

pictures: $(VENV)/runtime ## updates the README's pictures from a real run
	@$(BIN)/python docs/make_pictures.py

format: $(VENV)/dev ## formats the code and sorts imports
	@$(BIN)/ruff check --fix-only $(CODE)
	@$(BIN)/ruff format $(CODE)

LOCKER := $(if $(UV),uv,$(VENV)/uv/bin/uv)
COMPILE := $(LOCKER) pip compile pyproject.toml --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
  --no-header --no-annotate --group build --constraint requirements/constraints.in --extra postgres
EVERYTHING := --extra sql --extra s3 --extra dev
lock: $(if $(UV),,$(LOCKER)) ## updates the locks: the newest versions that pyproject.toml allows; lowest.lock: the oldest
	@$(COMPILE) --output-file requirements/runtime.lock
	@$(COMPILE) $(EVERYTHING) --constraint requirements/runtime.lock --output-file requirements/dev.lock
	@$(COMPILE) $(EVERYTHING) --resolution lowest-direct --output-file requirements/lowest.lock

clean: ## removes the virtual environment and the caches of tools
	@rm -rf $(VENV) .coverage .coverage.* .hypothesis .mypy_cache .pytest_cache .ruff_cache


# The virtual environment: created here, filled from the locks below.

ifneq ($(MADE_IN),$(CURDIR))
$(VENV)/made-in: recreate
endif
recreate:

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

# In its own venv, apart from the packages it checks, and always the newest version.
$(AUDIT)/bin/pip-audit: $(VENV)/runtime
	@$(if $(UV),uv venv --quiet --clear --python $(BIN)/python,$(BIN)/python -m venv --clear) $(AUDIT)
	@$(if $(UV),uv pip install --quiet --python $(AUDIT)/bin/python,$(AUDIT)/bin/python -m pip install --quiet --disable-pip-version-check) pip-audit

include requirements/environments.mk

-include tests/crash/crash.mk

-include benchmarks/bench.mk
