# `make demo` shows the product at work, `make test` proves it. Both set up what is missing.
.DEFAULT_GOAL := help
.PHONY: help setup lock demo demo-once test lint unit docker e2e fuzz reference clean

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
REQUIREMENTS := requirements-dev.txt
PYTEST := $(BIN)/pytest

help: ## Show this.
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

$(VENV)/.ready: $(REQUIREMENTS) pyproject.toml
	@echo "setting up $(VENV) from $(REQUIREMENTS)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: $(PYTHON) is $$($(PYTHON) -V)"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install -qq --disable-pip-version-check --require-hashes -r $(REQUIREMENTS)
	@$(BIN)/pip install -qq --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

setup: $(VENV)/.ready ## Make .venv with exact, hashed requirements.

lock: setup ## Write the requirements anew from pyproject.toml (needs uv).
	uv pip compile -q --generate-hashes --no-header --no-annotate --no-emit-index-url --no-emit-find-links --python-version 3.11 pyproject.toml -o requirements.txt
	uv pip compile -q --generate-hashes --no-header --no-annotate --no-emit-index-url --no-emit-find-links --python-version 3.11 --extra dev pyproject.toml -o requirements-dev.txt

demo: setup ## Start a small company, commit a sandbox, watch it converge; Ctrl-C stops and cleans.
	@$(BIN)/python -m demo

demo-once: setup ## The same, then check the answers and tear down; exit 0 or 1.
	@$(BIN)/python -m demo --once

test: lint unit docker e2e ## Every check.

lint: setup ## Format, lint, types, import contracts.
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

unit: setup ## Pure and in-process tests.
	$(PYTEST) -n 2 tests

docker: setup ## Tests on a real engine, where one can run.
	@$(call on_engine,$(PYTEST) -m docker --timeout 300 tests)

e2e: setup ## The whole product, declared scenarios, in two worlds side by side.
	@$(call on_engine,$(PYTEST) -m e2e -n 2 --dist loadfile --timeout 300 tests/e2e)

EXAMPLES ?= 100000
fuzz: setup ## Search for what the planner must never do: EXAMPLES=100000 by default, for a night.
	HYPOTHESIS_PROFILE=fuzz EXAMPLES=$(EXAMPLES) $(PYTEST) -s --hypothesis-show-statistics tests/property/test_planner.py

# CI must have an engine; elsewhere its absence is one loud line.
define on_engine
if $(BIN)/python -m tests.testbed up; then $(1); \
elif [ -n "$$CI" ]; then echo "CI needs a Docker engine"; exit 1; \
else echo "!!! SKIPPED, no Docker engine can run here: $(1)"; fi
endef

reference: setup ## Write docs/reference/spec.md from the models.
	$(BIN)/sdp schema --reference > docs/reference/spec.md

clean: ## Remove what was built here; the caches of images stay.
	rm -rf .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .demo dist
