# Everything that a newcomer, a developer and CI run. Needs Python >= 3.11 with venv, make, and a package registry.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Every file that is installed is pinned by its hash and comes ready built; no pip setting of the user's may bend that.
PIP := PIP_USER=0 $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-input
INSTALL := $(PIP) --only-binary :all: --require-hashes
LOCKS := requirements/build.lock requirements/runtime.lock
COMPILE := uv pip compile --quiet --universal --python-version 3.11 --fork-strategy fewest --generate-hashes --no-header

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo install test lint types style format bench fuzz lock clean slow promises chaos

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' Makefile

demo: $(VENV)/.runtime ## Make footage, serve it as a live stream, catch it; leaves demo/evidence.png
	@$(BIN)/streamguard demo

install: $(VENV)/.runtime ## Install StreamGuard into .venv: then `. .venv/bin/activate`

test: lint ## Lint, then run every test; what needs a server that is not installed is skipped
	@$(BIN)/python -m pytest -n auto --maxprocesses 8

lint: $(VENV)/.dev ## Check style (ruff), types (mypy --strict), the import rule, scripts and Dockerfile
	@$(MAKE) --no-print-directory --jobs=2 --output-sync types style

types: $(VENV)/.dev
	@$(BIN)/mypy

style: $(VENV)/.dev
	@$(BIN)/ruff check --quiet
	@$(BIN)/ruff format --check --quiet
	@$(BIN)/lint-imports --no-logo
	@! test -x $(BIN)/shellcheck || $(BIN)/shellcheck .ci/run
	@! test -x $(BIN)/hadolint || $(BIN)/hadolint Dockerfile

format: $(VENV)/.dev ## Put the code in its usual form, and mend what ruff can mend safely
	@$(BIN)/ruff check --fix --quiet
	@$(BIN)/ruff format --quiet

bench: $(VENV)/.bench $(VENV)/.peers ## Measure what streams and look-ups cost, in an hour; QUICK=1: in five minutes; WRITE=1: into docs/
	@$(BIN)/python benchmarks/bench.py $(if $(QUICK),--quick) $(if $(WRITE),--write)

slow: $(VENV)/.dev ## Run the tests that `make test` leaves out: half a minute each, or more
	@$(BIN)/python -m pytest -m slow

promises: $(VENV)/.dev ## Break things on purpose, for each promise of docs/reliability.md, and print what held
	@$(BIN)/python -m pytest --promises -q -n auto --maxprocesses 8

chaos: $(VENV)/.dev ## Watch 40 streams for 10 minutes while something is killed every 20 s (STREAMS, MINUTES, SEED); needs nginx-rtmp, ffmpeg, Redis
	@$(BIN)/python -m tests.faults.chaos --streams $(or $(STREAMS),40) --minutes $(or $(MINUTES),10) --seed $(or $(SEED),1)

fuzz: $(VENV)/.dev ## Watch 10,000 damaged streams beside five healthy ones (STREAMS=500: fewer); needs nginx-rtmp and ffmpeg
	@$(BIN)/python -m tests.faults.fuzz --streams $(or $(STREAMS),10000)

lock: ## Pin the newest versions that pyproject.toml allows (needs uv)
	@command -v uv > /dev/null || { echo "make lock needs uv: python3 -m pip install uv" >&2; exit 2; }
	$(COMPILE) --upgrade pyproject.toml -o requirements/runtime.lock
	$(COMPILE) --upgrade -c requirements/runtime.lock requirements/build.in -o requirements/build.lock
	$(COMPILE) --upgrade -c requirements/runtime.lock -c requirements/build.lock pyproject.toml --group dev -o requirements/dev.lock
	$(COMPILE) --upgrade -c requirements/runtime.lock -c requirements/build.lock -c requirements/dev.lock --group bench -o requirements/bench.lock
	$(COMPILE) --upgrade --group peers -o requirements/peers.lock
	$(COMPILE) --upgrade -c requirements/runtime.lock -c requirements/build.lock -c requirements/dev.lock pyproject.toml --extra ray -o requirements/ray.lock
	$(COMPILE) --upgrade -c requirements/runtime.lock -c requirements/build.lock -c requirements/dev.lock -c requirements/bench.lock pyproject.toml --extra exchange -o requirements/exchange.lock

clean: ## Remove all that these commands made
	rm -rf $(VENV) demo bench build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "StreamGuard needs Python 3.11 or newer; '$(PYTHON)' is not. Name another one: make PYTHON=python3.12 ..." >&2; exit 2; }
	@$(PYTHON) -c 'import ensurepip, venv' 2> /dev/null || { \
	  echo "Python's venv module is missing. On Debian or Ubuntu: sudo apt-get install python3-venv" >&2; exit 2; }
	@rm -rf $(VENV) && $(PYTHON) -m venv $(VENV)

$(VENV)/.runtime: pyproject.toml $(LOCKS) $(BIN)/python
	@echo "Installing StreamGuard into $(VENV) (once, 130 MB to fetch)" >&2
	@$(INSTALL) -r requirements/build.lock -r requirements/runtime.lock
	@$(PIP) --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.dev: requirements/dev.lock $(VENV)/.runtime
	@echo "Installing the development tools into $(VENV) (once, 50 MB to fetch)" >&2
	@$(INSTALL) -r requirements/dev.lock
	@touch $@

$(VENV)/.bench: requirements/bench.lock $(VENV)/.dev
	@$(PIP) --require-hashes -r requirements/bench.lock || { \
	  echo "pdqhash comes as source: building it takes g++ and Python's headers (Debian: apt-get install g++ python3-dev)" >&2; exit 2; }
	@touch $@

# Not everybody can build it, and nothing else needs it.
$(VENV)/.peers: requirements/peers.lock $(VENV)/.bench
	@$(PIP) --require-hashes -r requirements/peers.lock && touch $@ || { \
	  echo "No vpdq to compare with: it comes as source, and building it takes g++, cmake, pkg-config, Python's and FFmpeg's headers" >&2; \
	  echo "(Debian: apt-get install g++ cmake pkg-config python3-dev libav{device,filter,format,codec,util}-dev libsw{scale,resample}-dev)" >&2; }

$(VENV)/.ray: requirements/ray.lock $(VENV)/.runtime
	@echo "Installing Ray into $(VENV) (once, 85 MB to fetch)" >&2
	@$(INSTALL) -r requirements/ray.lock
	@touch $@

$(VENV)/.exchange: requirements/exchange.lock $(VENV)/.bench
	@$(PIP) --require-hashes -r requirements/exchange.lock || { \
	  echo "pdqhash and weighted-levenshtein come as source: building them takes g++ and Python's headers (Debian: apt-get install g++ python3-dev)" >&2; exit 2; }
	@touch $@

$(VENV)/.node-media-server: tests/node_media_server/package.json tests/node_media_server/package-lock.json $(BIN)/python
	@echo "Installing node-media-server, for tests, into $(VENV) (once, 15 MB to fetch)" >&2
	@mkdir -p $(VENV)/node-media-server && cp tests/node_media_server/*.json $(VENV)/node-media-server/
	@cd $(VENV)/node-media-server && npm ci --ignore-scripts --no-audit --no-fund --silent
	@touch $@
