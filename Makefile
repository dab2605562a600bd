# Each target does its own set-up: a virtual environment in .venv, made once, and again
# when setup.cfg changes. Needed are Python 3.10 or newer, a C compiler and make.

SHELL = /bin/sh
.DEFAULT_GOAL = help
VENV = .venv
READY = $(VENV)/made-of-setup.cfg
BIN = $(VENV)/bin
# One more for every two processors: a test often waits for a server.
WORKERS = $(shell expr $$(getconf _NPROCESSORS_ONLN) \* 3 / 2)
PYTEST = $(BIN)/python -m pytest -n $(WORKERS) --maxprocesses 8

.PHONY: help
help: ## show this
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1	\2/p' Makefile | expand -t 18

.PHONY: demo
demo: $(READY) ## publish a buildout from one node, rebuild it on another
	@$(BIN)/python -B examples/demo .demo

.PHONY: test
test: $(READY) ## run the quick tests on every Python that is here
	$(PYTEST) -m "not long"
	@$(BIN)/python tests/interpreters.py

.PHONY: test-long
test-long: $(READY) ## run the tests that take minutes
	$(PYTEST) -m long

.PHONY: benchmark
benchmark: $(READY) ## measure, with the incumbents beside
	@$(BIN)/python -m benchmarks

.PHONY: check
check: $(READY) ## lint, formatting, strict types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

.PHONY: mutations
mutations: $(READY) ## take out each check of the trust policy, see a test fail
	@$(BIN)/python tests/mutations.py

.PHONY: fuzz
fuzz: $(READY) ## fuzz the HTTP surface and the parsers, ten minutes each
	@$(BIN)/python tests/fuzz --seconds $(or $(SECONDS),600)

.PHONY: soak
soak: $(READY) ## many readers and writers for five minutes, or SECONDS=...
	@$(BIN)/python -m benchmarks soak

.PHONY: clean
clean: ## remove what was made
	rm -rf $(VENV) .venv-3.* .demo .incumbents .buildouts .softwares .suites .fuzzers .hypothesis .*_cache build dist *.egg-info
	find . -name __pycache__ -prune -exec rm -rf {} +

# A Python that was moved or removed since leaves an environment that does not run.
ifneq ($(shell $(BIN)/python -c 'print("runs")' 2>/dev/null),runs)
.PHONY: $(READY)
CLEAR = --clear
endif

$(READY): setup.cfg setup.py
	@set -e; for python in $(PYTHON) python3 python3.13 python3.12 python3.11 python3.10; do \
	  if $$python -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; then \
	    echo "setting up $(VENV) with $$($$python --version), once: a minute"; \
	    $$python -m venv $(CLEAR) $(VENV) || { \
	      echo "$$python makes no virtual environment: install python3-venv" >&2; exit 1; }; \
	    $(BIN)/python -m pip --disable-pip-version-check install --quiet --editable '.[test]'; \
	    touch $@; exit 0; \
	  fi; \
	done; \
	echo "Python 3.10 or newer is needed: make PYTHON=/path/to/python3" >&2; exit 1
