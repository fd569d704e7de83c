# Two commands do all the set-up on a fresh machine with Python 3.11 and make: `make demo` and `make test`.

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

# Most tests wait for something: a process for each core halves the time. Files stay whole, the long ones come early.
SIDE_BY_SIDE := --numprocesses=auto --maxprocesses=4 --dist=loadfile --no-loadscope-reorder

.PHONY: help demo needs test conformance states reference check lint types imports bank bank-sdk soak bench bench-claims galera crash-points wheel clean

help:  ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

$(STAMP): pyproject.toml packaging/dtm-client/pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "python 3.11 or newer is needed: apt-get install python3 python3-venv"; exit 1; }
	$(PYTHON) -m venv $(VENV) || { echo "the venv module is needed: apt-get install python3-venv"; exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable packaging/dtm-client --editable '.[dev]'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --upgrade --target $(VENV)/dtmcli-2021 dtmcli==0.2.1
	@touch $@

demo: $(STAMP)  ## Watch money move, and roll back, between two services
	$(BIN)/dtm demo saga
	$(BIN)/dtm demo saga-rollback

needs: $(STAMP)
	@tests/support/needs.sh
	@$(BIN)/python -c 'import MySQLdb' 2>/dev/null || \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[mysqlclient]'

test: $(STAMP) needs  ## Run all tests; the pure rooms must be covered to 100 %, the whole to 90 %
	rm -f .coverage .coverage.*
	$(BIN)/python -m coverage run -m pytest $(SIDE_BY_SIDE)
	$(BIN)/python -m coverage combine --quiet
	$(BIN)/python -m coverage report --fail-under=90
	$(BIN)/python -m coverage report --fail-under=100 --include='dtm/plugins/*,dtm/core/model.py,dtm/core/snapshot.py,dtm/core/decisions.py,dtm/core/protocol.py,dtm/core/ordering.py,dtm/core/lifecycle.py,dtm/core/backoff.py,dtm/core/errors.py'

check: lint types imports wheel test  ## Everything that CI runs

lint: $(STAMP)  ## ruff
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP)  ## mypy --strict
	$(BIN)/mypy

imports: $(STAMP)  ## Who may import whom
	$(BIN)/lint-imports

bank: $(STAMP) needs  ## Three nodes and their MariaDB killed and paused for five minutes, 3,000 transfers; TEST_SEED=n repeats one
	BANK_LONG=1 $(BIN)/python -m pytest tests/cluster/test_bank.py -k befalls

bank-sdk: $(STAMP) needs  ## The same with services and clients made with dtm.client, which are killed as well; 2,000 transfers
	BANK_LONG=1 $(BIN)/python -m pytest tests/client/bank

soak: $(STAMP) needs  ## Three nodes under load for five minutes: no call of a branch may overlap another
	CLUSTER_LOAD_SECONDS=300 $(BIN)/python -m pytest tests/cluster/test_load.py

galera: $(STAMP) needs  ## A Galera cluster of which a server is killed under load; SAGAS=1000 in each stage
	GALERA_SAGAS=$(or $(SAGAS),1000) $(BIN)/python -m pytest -s tests/store/test_mysql_galera.py

crash-points: $(STAMP) needs  ## A coordinator killed before and after each message that it exchanges, restarted and taken over
	CRASH_POINTS_ALL=1 $(BIN)/python -m pytest tests/crash/test_every_point.py

wheel: $(STAMP)  ## Build the wheels and use them in empty environments elsewhere
	$(BIN)/python -m tests.wheel

conformance: $(STAMP)  ## 5,000 generated histories and every single fault, for each protocol here (minutes)
	$(BIN)/dtm conformance saga tcc msg xa ./examples/plugins/broadcast.py \
		./examples/plugins/dtm-quorum/dtm_quorum/__init__.py ./examples/plugins/dtm-escalation/dtm_escalation/__init__.py

states: $(STAMP)  ## Write docs/states.md: the ways through each protocol, as diagrams
	$(BIN)/python docs/states.py

reference: $(STAMP)  ## Write docs/client.md: the client's API, from its docstrings
	$(BIN)/python docs/reference.py

bench: $(STAMP)  ## Measure (minutes); more by ARGS, see bench/README.md: make bench ARGS=--quick
	@bench/needs.sh
	$(BIN)/python -m bench $(ARGS)

bench-claims: $(STAMP)  ## What claims cost in a large table, and how fast a backlog drains (minutes)
	@bench/needs.sh
	$(BIN)/python -m bench.claims $(ARGS)

clean:  ## Remove what was built
	rm -rf $(VENV) build dist .coverage .coverage.* .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
