# Everything a developer or CI calls. `make help` lists it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.DEFAULT_GOAL := help

# Tests are compiled once a change, where they would otherwise be by each of the processes that run them.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help
help: ## List the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

# What is compiled here would be compiled by the first run, in a dozen processes at once.
$(INSTALLED): requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --editable .
	$(BIN)/python -m compileall -q -x '/(\.venv|var|tests)/' .
	touch $@

.PHONY: install
install: $(INSTALLED) ## Make .venv with everything in it

.PHONY: run
run: install ## Run the whole mesh on this machine, with a demonstration, until Ctrl-C
	@exec $(BIN)/python -m meshctl run

.PHONY: test
test: install lint ## Run all checks and the whole suite on the embedded engines
	$(BIN)/python -m pytest -n auto --dist loadfile

.PHONY: test-engines
test-engines: install ## Run the suites on real servers, fetched and started here; ENGINES=mariadb: on one
	$(BIN)/python -m engines test $(ENGINES)

.PHONY: bench
bench: install ## Measure this commit on this machine; ROWS=ledger DATABASE=mariadb: one row, on that engine
	$(BIN)/python -m bench $(ROWS) $(if $(DATABASE),--database $(DATABASE)) $(if $(RUNS),--runs $(RUNS))

.PHONY: chaos
chaos: install ## Harm a mesh at moments drawn from SEED=1 and audit it; SCENARIO=kill-any, SECONDS=25, ENGINES=mariadb choose
	$(BIN)/python -m chaos --seed $(or $(SEED),1) $(addprefix --scenario ,$(SCENARIO)) \
	  $(addprefix --seconds ,$(SECONDS)) $(addprefix --engines ,$(ENGINES))

.PHONY: bench-peers
bench-peers: install ## Measure other SMS gateways beside this commit; PEERS=kannel-smpp: that one
	$(BIN)/python -m bench.peers $(PEERS) $(if $(RUNS),--runs $(RUNS)) $(if $(MESSAGES),--messages-max $(MESSAGES))

.PHONY: lint
lint: install ## Check style, types, borders between folders, contracts and generated files
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python tools/generate_contracts.py --check
	$(BIN)/buf lint protos/contracts.binpb --config buf.yaml
	$(BIN)/buf breaking protos/contracts.binpb --against protos/released.binpb --config buf.yaml

.PHONY: format
format: install ## Format the code and fix what can be fixed
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

.PHONY: protos
protos: install ## Generate the stubs, the descriptor image and docs/openapi.json from protos/
	$(BIN)/python tools/generate_contracts.py
	$(BIN)/python -m gateway.openapi > docs/openapi.json

.PHONY: lock
lock: install ## Write requirements.lock anew from pyproject.toml
	$(BIN)/pip install --quiet uv
	$(BIN)/uv pip compile --quiet --universal --upgrade --generate-hashes --no-emit-index-url --no-annotate \
	  --python-version 3.11 --all-extras --group dev --output-file requirements.lock pyproject.toml

.PHONY: clean
clean: ## Remove the virtual environment and all state
	rm -rf $(VENV) var .mypy_cache .ruff_cache .pytest_cache .hypothesis
