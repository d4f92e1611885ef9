# Everything a newcomer needs: `make run` and `make test`. What is missing is installed first.

.DEFAULT_GOAL := help
.PHONY: help setup run test soak bench lint static format clean
.NOTPARALLEL:
# one recipe line, one shell that stops at the first failure
.SHELLFLAGS := -ec

BIN := .venv/bin
READY := .venv/.ready
# the packages that the product needs, and these with the tests' tools
READY_RUN := $(READY)-run
READY_DEV := $(READY)-dev
COMPILED := .venv/.compiled

SETUP_SOURCES := pyproject.toml .ci/setup.sh .ci/packages.sh \
	podsh/kernel/shim.py \
	$(wildcard podsh/native/*.py podsh/native/init/* podsh/native/monitor/* podsh/native/shim/*)
PYTHON_SOURCES := $(wildcard podsh/*.py podsh/*/*.py)

# a checkout that was moved has scripts that name the old place
ifneq ($(file <$(READY)),$(CURDIR))
$(shell rm -f $(READY_RUN) $(READY_DEV) 2>/dev/null)
endif

help:
	@echo 'make run            open the console (installs what is missing first)'
	@echo "make run ARGS='run -- bash'   any podsh command"
	@echo 'make test           lint and all tests'
	@echo 'make soak           the long-running tests'
	@echo 'make bench          launch, memory, terminal throughput, what requests cost programs'
	@echo 'make lint           ruff, mypy, import directions and weights'
	@echo 'make format         lay the code out'
	@echo 'make setup          only install: .venv, podsh (editable), development tools'
	@echo 'make clean          remove .venv and everything built'

$(READY_RUN): $(SETUP_SOURCES)
	@.ci/setup.sh run; echo '$(CURDIR)' >$(READY); touch $@

$(READY_DEV): $(SETUP_SOURCES)
	@.ci/setup.sh dev; echo '$(CURDIR)' >$(READY); touch $(READY_RUN) $@

# ordinary users cannot write these themselves, and without them each start compiles anew
$(COMPILED): $(PYTHON_SOURCES) | $(READY_RUN)
	@[ -w .venv ] || exit 0; $(BIN)/python -m compileall -q podsh; touch $@

setup: $(READY_DEV) $(COMPILED)

run: $(READY_RUN) $(COMPILED)
	@$(BIN)/podsh $(value ARGS)

test: static
	@.ci/packages.sh test || [ -z "$$PODSH_MUST_WORK" ]
	@$(BIN)/python -m tests $(value ARGS)

soak: setup
	@$(BIN)/python -m pytest -m soak --timeout 1800 $(value ARGS)

bench: setup
	@.ci/packages.sh test || true
	@$(BIN)/python -m tests.bench $(value ARGS)

lint: static
	@$(BIN)/python -m pytest -q tests/lint

static: setup
	@$(BIN)/ruff check -q .
	@$(BIN)/ruff format --check -q .
	@$(BIN)/mypy --no-error-summary

format: setup
	@$(BIN)/ruff check -q --fix --select I .
	@$(BIN)/ruff format -q .

clean:
	rm -rf .venv build dist .mypy_cache .ruff_cache .hypothesis bench.json
	rm -f podsh/native/podsh-init podsh/native/podsh-init-asan podsh/native/*.so
	find podsh tests -name __pycache__ -prune -exec rm -rf {} +
