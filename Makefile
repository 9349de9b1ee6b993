# One way to do each chore. `make help` lists them; CI calls the same targets.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
# The demo keeps its database and checkpoints here, apart from your own studies.
DEMO_HOME ?= $(CURDIR)/.demo
DEMO_PORT ?= 8000
EXIT ?=
ONLY ?=
PYTEST ?= $(BIN)/python -m pytest
# Many tests wait for processes that they have started: two at a time, each file's in one process.
PARALLEL ?= -n 2 --dist loadfile
# Everything that needs no GPU and no second environment; browser tests say so when there is no Chromium.
ALL_TESTS = not gpu and not peer

.DEFAULT_GOAL := help
.PHONY: help install demo test test-fast test-peer mutants check format lock clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(VENV)/.python: 
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Rectuner needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) -V 2>&1). Try: make PYTHON=python3.12" >&2; exit 2; }
	@$(PYTHON) -m venv $(VENV) || \
	  { echo "$(PYTHON) cannot make virtual environments (on Debian and Ubuntu: install python3-venv)." >&2; exit 2; }
	@touch $@

$(VENV)/.installed: pyproject.toml constraints.txt | $(VENV)/.python
	@echo "Installing Rectuner into $(VENV) (torch is the large part) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	@echo "Installing what the tests need ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

install: $(VENV)/.installed ## Create the virtual environment with the pinned dependencies

demo: $(VENV)/.installed ## Tune S3Rec on ml-100k with the dashboard open (EXIT=1: stop when done)
	@TUNER_HOME="$(DEMO_HOME)" $(BIN)/tuner demo --port $(DEMO_PORT) $(if $(EXIT),--exit)

test: $(VENV)/.installed-dev ## Run every test that can run on this machine
	$(PYTEST) $(PARALLEL) -m '$(ALL_TESTS)'

test-fast: $(VENV)/.installed-dev ## Run the fast tests only
	$(PYTEST)

test-peer: $(VENV)/.installed-dev $(VENV)-peer/.installed ## Compare with RecBole in an environment of its own
	RECTUNER_PEER_PYTHON=$(abspath $(VENV)-peer/bin/python) $(PYTEST) -m peer

$(VENV)-peer/.installed: benchmarks/peer/requirements.txt
	$(PYTHON) -m venv $(VENV)-peer
	$(VENV)-peer/bin/python -m pip install --quiet --disable-pip-version-check -r benchmarks/peer/requirements.txt
	@touch $@

check: $(VENV)/.installed-dev ## Lint, check the format, the types and the direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy model tuner benchmarks
	$(BIN)/lint-imports

format: $(VENV)/.installed-dev ## Format the code and mend what the linter can
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

mutants: $(VENV)/.installed-dev ## Put known faults in, one at a time: do the fast tests notice? (ONLY=part of a name)
	$(BIN)/python tests/mutants/mutate.py $(ONLY)

lock: ## Resolve the dependencies afresh and rewrite constraints.txt
	@rm -rf $(VENV)-lock && $(PYTHON) -m venv $(VENV)-lock
	@$(VENV)-lock/bin/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	@{ sed -n '/^#/p' constraints.txt; \
	   $(VENV)-lock/bin/python -m pip list --format=freeze --disable-pip-version-check \
	   | grep -viE '^(pip|setuptools|wheel|rectuner|nvidia-.*|triton)==' | sed 's/+cpu//'; } > constraints.new
	@mv constraints.new constraints.txt && rm -rf $(VENV)-lock

clean: ## Remove the virtual environments and caches (studies stay)
	rm -rf $(VENV) $(VENV)-peer .mypy_cache .ruff_cache .pytest_cache .hypothesis build *.egg-info
