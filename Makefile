# `make` alone lists the targets. Every target installs what it needs into .venv.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
BENCH := build/bench/venv
BENCH_STAMP := $(BENCH)/.installed
MLFLOW := build/mlflow/venv
MLFLOW_STAMP := $(MLFLOW)/.installed

# Test processes: each has a Kafka broker of its own.
TEST_PROCESSES ?= 2

BROKER ?= tansu
SCENARIO ?= skew
DEPLOY ?= 2013-06-10
SEED ?= 7
HOLDBACK ?=
CHAOS ?=
RECORDS ?= 1000000
DEMO_FLAGS := --broker $(BROKER) --scenario $(SCENARIO) --deploy $(DEPLOY) --seed $(SEED) \
	$(if $(HOLDBACK),--holdback $(HOLDBACK))

.PHONY: help demo serve test test-fast lint kafka fuzz bench bench-short chaos evaluate schemas docs tools clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 12
	@echo
	@echo "demo takes BROKER=tansu|kafka|memory|host:port DEPLOY=<a Monday> SEED=n HOLDBACK=.1"
	@echo "  SCENARIO=skew|placebo|upstream|upstream-holdback|better|executor-down|unhealthy-target"

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; PYTHON=$(PYTHON) is $$($(PYTHON) --version 2>&1)"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[demo,dev]'
	@touch $(STAMP)

demo: $(STAMP) ## a year of flights through a broker: drift, a broken version, alert, rollback, verified
	$(BIN)/python -m demo $(DEMO_FLAGS)

serve: $(STAMP) ## the demo, then the worker and its pages stay up
	$(BIN)/python -m demo $(DEMO_FLAGS) --serve

test: $(STAMP) $(BENCH_STAMP) $(MLFLOW_STAMP) tools ## all tests, on a real Apache Kafka too
	$(BIN)/python -m pytest -n $(TEST_PROCESSES) --dist loadfile

test-fast: $(STAMP) ## unit and property tests alone
	$(BIN)/python -m pytest tests/unit tests/property

lint: $(STAMP) ## format, lint, types, import contracts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

kafka: $(STAMP) ## Apache Kafka on loopback in a folder of its own; Ctrl-C ends it
	$(BIN)/python -m brokers.kafka

fuzz: $(STAMP) ## a million mutated records against every stage: each one accounted for, memory bounded
	$(BIN)/python -m tests.fuzz --records $(RECORDS) --seed $(SEED)

$(BENCH_STAMP): $(STAMP) pyproject.toml benchmarks/constraints.txt
	$(BIN)/python -m venv $(BENCH)
	@# What they share with us is taken from .venv; only what differs is installed.
	echo "$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')" > "$$($(BENCH)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/shared.pth"
	$(BENCH)/bin/pip install --quiet --disable-pip-version-check --constraint benchmarks/constraints.txt --editable '.[bench]'
	@touch $(BENCH_STAMP)

$(MLFLOW_STAMP): $(STAMP) tests/integration/mlflow/constraints.txt
	$(BIN)/python -m venv $(MLFLOW)
	echo "$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')" > "$$($(MLFLOW)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/shared.pth"
	$(MLFLOW)/bin/pip install --quiet --disable-pip-version-check --constraint tests/integration/mlflow/constraints.txt mlflow
	@touch $(MLFLOW_STAMP)

bench: $(BENCH_STAMP) ## the benchmarks, beside Faust, Quix Streams and Bytewax; about 15 minutes (docs/performance.md)
	$(BIN)/python -m benchmarks

bench-short: $(BENCH_STAMP) ## the same programs on a few thousand events: do they run, do the counts agree
	$(BIN)/python -m benchmarks --short

chaos: $(STAMP) ## a million events through workers that are killed a hundred times; takes CHAOS="--seed 7 --short"
	$(BIN)/python -m tests.recovery.chaos $(CHAOS)

evaluate: $(STAMP) ## the judge: delays and false alarms of every detector, on streams with and without a change
	$(BIN)/python -m detectors.evaluate $(EVALUATE)

schemas: $(STAMP) ## generate schemas/wire, docs/configuration.md and docs/no-rollback.md from the code
	$(BIN)/python -m schemas.generate
	$(BIN)/plumbline config --markdown > docs/configuration.md
	$(BIN)/python -m streams.governor.rules_page > docs/no-rollback.md

tools: ## programs that some tests check files with: promtool, amtool, docker-compose, a JVM and Maven
	@bash .ci/tools

clean: ## remove what was built
	rm -rf build dist .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
