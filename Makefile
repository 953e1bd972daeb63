# The only entry to every task. `make` alone lists the verbs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
KAFKA ?= embedded
# What `make check` compares the contracts with: the last commit that landed, where it is known.
BASE ?= $(shell git rev-parse -q --verify origin/main 2>/dev/null || git rev-parse -q --verify HEAD 2>/dev/null)

.DEFAULT_GOAL := help
.PHONY: help setup demo up check fmt test simulate faults contracts bench lock clean

help: ## list the verbs
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

setup: $(VENV)/.installed ## install what everything else needs into .venv

$(VENV)/.installed: requirements/dev.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Đôn đốc needs Python 3.11 or newer; try make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.lock
	@touch $@

demo: setup ## play the notice of October 2024; on a terminal it stays up at the end (KEEP=1 always, KEEP=0 never, KAFKA=apache)
	$(BIN)/python -m deploy.demo --kafka $(KAFKA) --keep $(if $(KEEP),$(if $(filter 0 no,$(KEEP)),no,yes),auto)

up: setup ## start an empty system and leave it running until Ctrl-C (KAFKA=apache)
	$(BIN)/python -m deploy.local up --kafka $(KAFKA)

check: setup ## formatting, lint, types, layers, contracts, deployment files
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m deploy.contracts check
	$(BIN)/python -m deploy.contracts diff $(BASE)
	$(BIN)/check-jsonschema --builtin-schema vendor.compose-spec docker-compose.yml
	$(BIN)/python -m deploy.checks

fmt: setup ## format, and mend what can be mended
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

test: setup ## all tests, on Apache Kafka and a real mongod (Java 17+ and Maven)
	$(BIN)/pytest

simulate: setup ## seeded disorder against a plain reference (SEEDS=20000; SEED=17 for one with its trace)
	$(BIN)/python -m tests.simulation $(if $(SEED),--seed $(SEED),--seeds $(or $(SEEDS),500))

faults: setup ## only the tests that kill and stop real processes
	$(BIN)/pytest -m faults

contracts: setup ## write JSON Schemas, AsyncAPI and OpenAPI from the models
	$(BIN)/python -m deploy.contracts write

bench: setup ## speed and memory against named baselines, into build/bench.json
	$(BIN)/python -m tests.bench

lock: setup ## compile requirements/*.lock from pyproject.toml
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--custom-compile-command "make lock" pyproject.toml -o requirements/runtime.lock
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--custom-compile-command "make lock" --extra dev -c requirements/runtime.lock pyproject.toml -o requirements/dev.lock

clean: ## remove what was built here (not the download cache)
	rm -rf $(VENV) build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
