# Everything is installed inside the checkout: .venv and .cache. `make clean` deletes both.

PYTHON ?= python3
CHAIN ?= ethereum
ENTRIES ?= 10_000_000
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
COMPILE := $(BIN)/uv pip compile pyproject.toml --universal --python-version 3.11 \
	--generate-hashes --no-annotate --no-header --quiet

# It executes what is sent at once, and keeps one blockhash fewer.
NOT_ON_SURFPOOL := \
	--deselect 'tests/contract/test_adapters.py::test_a_failed_transaction_moves_nothing_but_its_fee' \
	--deselect tests/unit/test_solana_orders.py::test_a_payment_lands_until_its_blockhash_is_150_blocks_old

# It finds no outputs by their script.
NOT_ON_BTCD := \
	--deselect 'tests/contract/test_adapters.py::test_balances_come_in_the_order_they_were_asked_for'

.DEFAULT_GOAL := help
.PHONY: help install demo up down test check format bench bench-growth faults lock surfpool btcd clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(VENV)/.installed ## Set up .venv and fetch the broker and the chains' nodes (once)

demo: install ## Play the whole story on real servers; CHAIN=bitcoin, CHAIN=all, …
	$(BIN)/millrace demo --chain $(CHAIN)

up: install ## Keep servers and workers running until Ctrl-C or make down; CHAIN=…
	$(BIN)/millrace up --chain $(CHAIN)

down: install ## Stop what make up started
	$(BIN)/python -m devstack.down

test: install ## Run every test, on a real broker, database and the chains' nodes
	$(BIN)/python -m pytest

check: install ## Check format, lint, types, import directions and SQL
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy --strict .
	$(BIN)/lint-imports --no-logo
	$(BIN)/sqlfluff lint --disable-progress-bar sql

format: install ## Format the Python code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: install ## Measure ours beside the bare limit
	$(BIN)/python -m benchmarks

bench-growth: install ## Post ENTRIES=10_000_000 entries and show whether the ledger slows down
	$(BIN)/python -m benchmarks.growth --entries $(ENTRIES)

faults: install ## Kill workers, broker and database at random and count what is lost
	$(BIN)/python -m tests.faults.campaign

lock: install ## Resolve all dependencies anew and record their hashes
	$(PIP) install --require-hashes -r requirements/uv.lock
	$(COMPILE) --upgrade --extra devstack --group dev -o requirements/dev.lock
	$(COMPILE) --upgrade --constraint requirements/dev.lock -o requirements/run.lock
	cd devstack/npm && ../../$(BIN)/npm install --package-lock-only --ignore-scripts \
		--omit-lockfile-registry-resolved --no-audit --no-fund
	$(BIN)/python -m devstack.install --record

surfpool: install ## Build Surfpool (Rust, minutes) and run Solana's tests on it
	ops/build_surfpool.sh
	MILLRACE_SURFPOOL=$(CURDIR)/.cache/surfpool/release/surfnode $(BIN)/python -m pytest -k solana \
		tests/contract/test_adapters.py tests/contract/test_payers.py tests/unit/test_solana_orders.py \
		tests/scenarios/test_withdrawals_solana.py $(NOT_ON_SURFPOOL)

btcd: install ## Build btcd (Go, half a minute) and hold Bitcoin's adapter to its contract on it
	GOBIN=$(CURDIR)/.cache/btcd go install github.com/btcsuite/btcd@v0.26.0
	MILLRACE_BTCD=$(CURDIR)/.cache/btcd/btcd $(BIN)/python -m pytest -k bitcoin \
		tests/contract/test_adapters.py tests/contract/test_payers.py $(NOT_ON_BTCD)

clean: ## Delete what was installed, fetched and written
	rm -rf $(VENV) .cache .millrace .mypy_cache .ruff_cache .pytest_cache .hypothesis \
		.import_linter_cache *.egg-info

$(VENV)/bin/activate:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || { \
		echo "Python 3.11, 3.12 or 3.13 is needed: make install PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "python3-venv is missing: apt install python3-venv" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.dependencies: requirements/dev.lock | $(VENV)/bin/activate
	@echo "Installing the locked Python packages into $(VENV)"
	$(PIP) install --require-hashes -r requirements/dev.lock
	@touch $@

$(VENV)/.editable: pyproject.toml $(VENV)/.dependencies
	$(PIP) install --no-deps --no-build-isolation --no-index -e .
	@touch $@

$(VENV)/.installed: $(VENV)/.editable devstack/jars.sha256 devstack/npm/package-lock.json \
		devstack/chains/litecoind.sha256
	$(BIN)/python -m devstack.install
	@touch $@
