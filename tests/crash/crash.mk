# Included by the Makefile: kills real loads, runs two at once, repeats them, and checks the tables (tests/crash/README.md).

CRASH := $(if $(QUICK),--duckdb 12 --postgres 6,--duckdb 300 --postgres 100 --pairs 50 --nights 100)

.PHONY: crash
crash: $(VENV)/dev ## kills hundreds of loads and compares the tables; QUICK=1: fewer; ARGS='--seed 7': others
	@$(BIN)/python -m tests.crash $(CRASH) $(ARGS)
