# make bench: everything, an hour or more; QUICK=1: a first impression in two minutes; ARGS='--only cpu': see README.md.

.PHONY: bench bench-lock
bench: $(VENV)/runtime $(if $(QUICK),,benchmarks/.venv/made) ## compares speed and memory with other loaders; QUICK=1: a first impression in two minutes
	@$(BIN)/python -m benchmarks $(if $(QUICK),--size quick) $(ARGS)

benchmarks/.venv/made: benchmarks/requirements.lock | $(VENV)/runtime
	@echo 'Setting up the peers in benchmarks/.venv (once) ...' >&2
	@$(if $(UV),uv venv --quiet --clear --python $(BIN)/python,$(BIN)/python -m venv --clear) benchmarks/.venv
	@$(if $(UV),uv pip install --quiet --python benchmarks/.venv/bin/python,benchmarks/.venv/bin/python -m pip install --quiet --disable-pip-version-check) --no-deps --require-hashes -r benchmarks/requirements.lock
	@touch $@

bench-lock:
	@uv pip compile benchmarks/requirements.in --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
	  --no-header --no-annotate --output-file benchmarks/requirements.lock
