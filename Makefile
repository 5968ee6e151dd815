# Everything a person types: `make demo`, `make run`, `make test`, `make secrets`.
# Needs python3 (3.11 or newer) and make; the rest goes into .venv in this folder.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -qq
COMPILE := $(BIN)/pip-compile --quiet --strip-extras --no-emit-find-links \
	--no-emit-index-url --no-emit-trusted-host

# Two processes, a file of tests to each in turn: half of the time goes into waiting for services.
TWO := -n 2 --dist loadfile --no-loadscope-reorder

.DEFAULT_GOAL := help
.PHONY: help demo run test test-all test-api test-clients test-compose test-hostile chaos pictures lint tools lock secrets clean

help:
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 14

demo: $(VENV)/installed ## train the bundled samples through the HTTP API and predict
	@$(BIN)/lstmq demo

run: $(VENV)/installed ## the whole service on http://127.0.0.1:8000 until Ctrl-C
	@exec $(BIN)/lstmq up --sample

test: lint tools ## every check and test that fits ten minutes
	@$(BIN)/python -m pytest -q -m 'not slow' $(TWO)

test-all: lint tools ## the slow tests too, and the containers where Docker is there
	@$(BIN)/python -m pytest -q $(TWO)
	@if docker info >/dev/null 2>&1; then $(MAKE) --no-print-directory test-compose; \
	else echo 'tests/compose skipped: no Docker daemon answers'; fi

# Each of these versions in an environment of its own, as somebody has it who never heard of us.
CLIENTS := 1.30.0 1.109.1 2.54.0 3.54.0
test-clients: $(VENV)/installed-dev $(CLIENTS:%=$(VENV)/clients/%/installed) ## OpenAI's clients, old and new, train and complete
	@$(BIN)/python -m pytest -q tests/clients

$(VENV)/clients/%/installed: | $(BIN)/python
	@echo 'installing openai $* into $(VENV)/clients/$*'
	@$(PYTHON) -m venv $(@D)
	@# The oldest knows no newer httpx.
	@$(@D)/bin/python -m pip --disable-pip-version-check -qq install openai==$* $(if $(filter 1.30.0,$*),'httpx<0.28')
	@touch $@

test-api: $(VENV)/installed-dev ## every answer of the API is described (schemathesis), every sentence about it true
	@$(BIN)/python -m pytest -q tests/api

test-compose: $(VENV)/installed-dev $(VENV)/clients/1.30.0/installed $(VENV)/clients/3.54.0/installed ## the containers: jobs, kills, scaling, an upgrade, backups, many hosts
	@$(BIN)/python -m pytest -q -s tests/compose

test-hostile: $(VENV)/installed-dev ## slow clients, dropped connections and broken uploads
	@$(BIN)/python -m pytest -q tests/web/test_slow_clients.py tests/web/test_fuzzed_uploads.py

SEED ?= 1
FAULTS ?= 60
chaos: $(VENV)/installed-dev ## break everything FAULTS times (SEED decides how) and check that nothing is lost
	@$(BIN)/python -m tests.chaos.run --seed $(SEED) --faults $(FAULTS)

pictures: $(VENV)/installed-dev ## take the README's pictures again (docs/pictures)
	@$(BIN)/python -m docs.take_pictures

lint: $(VENV)/installed-dev ## formatting, lint, types, and which package may import which
	@$(BIN)/ruff format --quiet --check .
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy --no-error-summary
	@$(BIN)/lint-imports --no-logo >$(VENV)/lint-imports.log || { cat $(VENV)/lint-imports.log; exit 1; }

# The tests drive a real browser and real servers. Root on Debian gets them; others are told what to
# install. Without the browser nothing runs, without a server its tests are skipped.
tools:
	@missing=; \
	command -v chromium >/dev/null || missing="$$missing chromium fonts-dejavu-core"; \
	command -v redis-server >/dev/null || missing="$$missing redis-server"; \
	ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || command -v initdb >/dev/null || \
		missing="$$missing postgresql"; \
	if [ -z "$$missing" ]; then :; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		echo "installing$$missing for the tests"; \
		apt-get -qq -o DPkg::Lock::Timeout=300 update >/dev/null && DEBIAN_FRONTEND=noninteractive \
		apt-get -qq -o DPkg::Lock::Timeout=300 install -y --no-install-recommends $$missing >/dev/null; \
	else echo "The tests need more: sudo apt-get install$$missing"; command -v chromium >/dev/null; fi

lock: $(VENV)/installed-dev ## pin every dependency again; UPGRADE=1 takes newer versions
	@$(COMPILE) $(if $(UPGRADE),--upgrade) --extra train --extra embedded --extra dev -o requirements/dev.txt pyproject.toml
	@$(COMPILE) --no-annotate --extra train --extra embedded -c requirements/dev.txt -o requirements/all.txt pyproject.toml
	@$(COMPILE) --no-annotate -c requirements/dev.txt -o requirements/web.txt pyproject.toml
	@# A pin of a local build (torch==2.13.0+cpu) could be installed from that one place only.
	@sed -i.bak 's/^\([a-z0-9-]*==[^ +]*\)+[a-z0-9.]*/\1/' requirements/*.txt && rm requirements/*.bak

secrets: ## write .env for docker compose: the Redis password and one admin key
	@$(PYTHON) -I web/env_file.py .env

clean: ## remove what can be made again; var/ (your data) stays
	@rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache \
		.hypothesis tests/artifacts
	@find lstmcore worker web tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

# ---- the virtual environment; each stamp is newer than the lock it was made from ----
$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "lstmq needs Python 3.11 or newer; try make PYTHON=python3.12"; exit 1; }
	@echo 'making .venv'
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
		echo 'python3 cannot make a virtual environment: sudo apt-get install python3-venv'; exit 1; }

$(VENV)/installed: requirements/all.txt pyproject.toml | $(BIN)/python
	@echo 'installing requirements/all.txt into .venv (once; a few minutes)'
	@$(PIP) install -r requirements/all.txt
	@$(PIP) install --no-deps -e .
	@touch $@

$(VENV)/installed-dev: requirements/dev.txt $(VENV)/installed
	@echo 'installing requirements/dev.txt into .venv'
	@$(PIP) install -r requirements/dev.txt
	@touch $@
