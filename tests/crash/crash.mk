# Included by the Makefile: real loads killed, doubled and repeated until something is wrong (tests/crash/README.md).

CRASH := $(if $(QUICK),--duckdb 12 --postgres 6,--duckdb 300 --postgres 100 --pairs 50 --nights 100)

.PHONY: crash
crash: $(VENV)/dev ## kills loads by the hundred and compares the tables; QUICK=1: a short one; ARGS='--seed 7'
	@$(BIN)/python -m tests.crash $(CRASH) $(ARGS)
