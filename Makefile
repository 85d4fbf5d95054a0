# A thin menu. Everything else is Python: `lanternpipe --help`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=
PROFILE ?= smoke

# `make up SECURE=1`: the same stack with TLS, logins and rights.
SECURED := compose.yaml:deploy/compose/secure.yaml$(addprefix :,$(wildcard compose.override.yaml))
ifdef SECURE
export COMPOSE_FILE := $(SECURED)
endif

.DEFAULT_GOAL := help
.PHONY: help demo up down smoke test test-all stack security lint types logins unit hostile contract integration docs chaos load bench bench-latency bench-telemetry bench-costs bench-peers bench-all lock sbom generate clean

help: ## Show this menu
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(VENV)/.runtime ## See the pipeline at work: no Docker, no Java, no account
	@$(BIN)/lanternpipe demo $(ARGS)

up: ## The pipeline and its whole monitoring, in Docker (docs/stack.md); SECURE=1: with TLS and logins
	@{ docker compose version && docker info; } >/dev/null 2>&1 || { \
		echo "make up needs Docker with Compose 2.24 or later, and its engine running; make demo needs neither" >&2; exit 1; }
	@docker compose up --detach --build --wait $(ARGS)
	@$(PYTHON) deploy/compose/links.py

down: ## Stop all that and remove its containers, network and data
	@COMPOSE_FILE=$(SECURED) docker compose --profile '*' down --volumes --remove-orphans $(ARGS)

smoke: $(VENV)/.dev ## See that what `make up` has started does all that it should
	@$(BIN)/python -m tests.compose.smoke $(ARGS)

test: $(VENV)/.dev ## Lint, types and all tests that this machine can run, in about eight minutes
	@$(BIN)/python -m tests.announce
	@$(MAKE) --no-print-directory lint types
	@$(BIN)/pytest -n 2 --dist loadfile tests/chaos tests/integration tests/docs tests/contract tests/unit tests/hostile tests/logins $(ARGS)

test-all: test stack security chaos load ## Everything

security: $(VENV)/.dev ## Every way to get in, and everything that is refused, on a real Kafka (about four minutes)
	@$(BIN)/pytest -n 2 --dist loadfile tests/security $(ARGS)

stack: $(VENV)/.dev ## What deploy/ holds, on a real Collector, Prometheus and Alertmanager (the first time builds them)
	@$(BIN)/python -m tests.stack.announce
	@$(BIN)/pytest tests/deploy tests/stack $(ARGS)

lint: $(VENV)/.dev ## Style and format
	@$(BIN)/ruff check --quiet . && $(BIN)/ruff format --check --quiet . && echo "lint: clean"

types: $(VENV)/.dev ## Types, strictly
	@$(BIN)/mypy

logins unit hostile contract integration docs: $(VENV)/.dev ## One folder of tests
	@$(BIN)/pytest tests/$@ $(ARGS)

chaos: $(VENV)/.dev ## Hurt a pipeline on three brokers and check its history (ARGS="--help" tells what else)
	@$(BIN)/python -m tests.chaos $(ARGS)

load: $(VENV)/.load ## Put a load on the pipeline and see how it bears it: PROFILE=smoke, steps, spike, kill … (docs/load.md)
	@$(BIN)/python -m loadtest $(PROFILE) $(ARGS)

bench: $(VENV)/.dev ## Processor against the bare loop, on a real Kafka (about four minutes)
	@$(BIN)/python -m benchmarks.processor $(ARGS)

bench-latency: $(VENV)/.dev ## Latency at 5,000 records/s, on a real Kafka (about six minutes)
	@$(BIN)/python -m benchmarks.latency $(ARGS)

bench-telemetry: $(VENV)/.dev $(VENV)/.stock ## What each signal costs, on a real Kafka (about twelve minutes)
	@$(BIN)/python -m benchmarks.telemetry $(ARGS)

bench-costs: $(VENV)/.dev ## How cost grows with partitions, size, TLS and the knobs of latency (about fifteen minutes)
	@$(BIN)/python -m benchmarks.costs $(ARGS)

bench-peers: $(VENV)/.dev $(VENV)/.stock $(VENV)/.quix ## Side by side with Kafka Streams, quixstreams and others (about an hour)
	@$(BIN)/python -m benchmarks.peers $(ARGS)

bench-all: bench bench-peers bench-latency bench-costs bench-telemetry ## All of these, one after the other (two hours)

generate: $(VENV)/.dev ## Write the generated documents and dashboards anew
	@env -i PATH="$(PATH)" PIPELINE_INSTANCE= $(BIN)/lanternpipe config --markdown > docs/configuration.md
	@$(BIN)/lanternpipe config --signals > docs/metrics.md
	@$(BIN)/python -m deploy.grafana.generate
	@$(BIN)/python -m deploy.compose.encrypt

lock: $(VENV)/.dev ## Resolve the dependencies anew
	@requirements/lock.sh $(BIN)

sbom: $(VENV)/.dev ## The bill of materials of what is installed at run time (CycloneDX): build/sbom.json
	@$(BIN)/python requirements/sbom.py build/sbom.json

clean: ## Remove what make has made
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis build src/*.egg-info

$(VENV)/.runtime: requirements/runtime.lock requirements/build.lock pyproject.toml
	@requirements/install.sh $(PYTHON) $(VENV) runtime build
	@touch $@

$(VENV)/.dev: $(VENV)/.runtime requirements/dev.lock
	@requirements/install.sh $(PYTHON) $(VENV) dev
	@touch $@

$(VENV)/.load: $(VENV)/.runtime requirements/load.lock
	@requirements/install.sh $(PYTHON) $(VENV) load
	@touch $@

$(VENV)/.quix: requirements/quix.lock
	@requirements/install.sh $(PYTHON) $(VENV)/quix quix
	@touch $@

$(VENV)/.stock: $(VENV)/.runtime requirements/stock.lock
	@requirements/install.sh $(PYTHON) $(VENV)/stock stock
	@touch $@
