# Needs Python ≥ 3.11 and the package registries; everything else is installed into .venv.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
RUN := env -u PYTHONDONTWRITEBYTECODE
DATA ?= data
PORT ?= 8000
WORKERS ?= 3
SIDE_BY_SIDE := -n $(WORKERS) --dist loadfile  # most of the time of tests on whole installations is waiting
INSTALL := $(BIN)/uv pip install --quiet --python $(BIN)/python --compile-bytecode --constraints constraints.txt

.DEFAULT_GOAL := help
.PHONY: run test check lint types contracts postgresql test-postgresql unit bench soak bench-lists bench-kubernetes chaos chaos-kubernetes test-kubernetes constraints samples wheel clean help

help: ## what can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 20

run: $(VENV)/.installed ## make the environment, start everything, run the sample pipeline, serve the dashboard
	$(RUN) $(BIN)/kfdash up --demo --data-dir $(DATA) --port $(PORT)

test: lint types contracts postgresql unit ## everything that needs no cluster

check: lint types contracts ## the quick part: lint, types, layers, specification and engine
	$(RUN) $(BIN)/pytest tests/spec tests/engine tests/execution

lint: $(VENV)/.developer
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.developer
	$(RUN) $(BIN)/mypy

contracts: $(VENV)/.developer
	$(RUN) $(BIN)/lint-imports

postgresql: $(VENV)/.developer
ifdef KFDASH_TEST_DATABASE_URL
	$(RUN) KFDASH_DATABASE_URL=$(KFDASH_TEST_DATABASE_URL) $(BIN)/pytest $(SIDE_BY_SIDE) tests/django tests/api
else
	@echo "Without KFDASH_TEST_DATABASE_URL=postgresql://… the tests run on SQLite only."
endif

test-postgresql: $(VENV)/.developer ## pipelines, parts and pages on PostgreSQL: needs KFDASH_TEST_DATABASE_URL, a server on which databases can be made
	@test -n "$(KFDASH_TEST_DATABASE_URL)" || { echo "Say which server: KFDASH_TEST_DATABASE_URL=postgresql://…"; exit 2; }
	$(RUN) KFDASH_TEST_INSTALLATIONS_ON=$(KFDASH_TEST_DATABASE_URL) KFDASH_DATABASE_URL=$(KFDASH_TEST_DATABASE_URL) $(BIN)/pytest $(SIDE_BY_SIDE) -m "not kubernetes" -rfEs

unit: $(VENV)/.developer
	$(RUN) $(BIN)/pytest $(SIDE_BY_SIDE) -m "not kubernetes" --durations=10 -rfEs

bench: $(VENV)/.developer ## one JSON line a figure
	@$(RUN) $(BIN)/python -m tests.bench

soak: $(VENV)/.developer ## an hour of steady load: memory and connections of each process; MINUTES=m
	@$(RUN) $(BIN)/python -m tests.bench.soak $(if $(MINUTES),--minutes $(MINUTES))

bench-lists: $(VENV)/.developer ## a million runs in DATABASE=postgresql://…, an empty one, and every list, filter and sort of them
	@test -n "$(DATABASE)" || { echo "Say which database: make bench-lists DATABASE=postgresql://user@host/name"; exit 2; }
	@$(RUN) $(BIN)/python -m tests.bench.million $(DATABASE)
	@$(RUN) $(BIN)/python -m tests.bench.asking $(DATABASE)

bench-kubernetes: $(VENV)/.developer ## needs KUBECONFIG=FILE and KFDASH_TEST_IMAGE, an image of kfdash that the cluster can pull
	@test -n "$(KUBECONFIG)" || { echo "Say which cluster: make bench-kubernetes KUBECONFIG=FILE"; exit 2; }
	@$(RUN) KUBECONFIG=$(KUBECONFIG) $(BIN)/python -m tests.bench.kubernetes

chaos: $(VENV)/.developer ## kill everything at random: SEED=n MINUTES=m DATABASE=sqlite|postgresql WITHOUT=safeguard
	@$(RUN) $(BIN)/python -m tests.chaos $(if $(SEED),--seed $(SEED)) $(if $(MINUTES),--minutes $(MINUTES)) \
	  $(if $(DATABASE),--database $(DATABASE)) $(if $(WITHOUT),--without $(WITHOUT))

chaos-kubernetes: $(VENV)/.developer ## the same for steps that are pods: needs KUBECONFIG=FILE; CHAOS="--seed n --runs n"
	@test -n "$(KUBECONFIG)" || { echo "Say which cluster: make chaos-kubernetes KUBECONFIG=FILE"; exit 2; }
	@$(RUN) KUBECONFIG=$(KUBECONFIG) $(BIN)/python -m tests.chaos.kubernetes $(CHAOS)

fuzz: $(VENV)/.developer ## many random cases of all that strangers can send: make fuzz FUZZ="packages --cases 1000 --seed 1"
	@$(RUN) $(BIN)/python -W ignore -m tests.fuzz $(FUZZ)

test-kubernetes: $(VENV)/.developer ## needs KUBECONFIG=FILE and KFDASH_TEST_IMAGE, an image of kfdash that the cluster can pull
	@test -n "$(KUBECONFIG)" || { echo "Say which cluster: make test-kubernetes KUBECONFIG=FILE"; exit 2; }
	$(RUN) KUBECONFIG=$(KUBECONFIG) $(BIN)/pytest tests/kubernetes -m kubernetes -rs

constraints: $(VENV)/.developer ## resolve all dependencies anew
	$(BIN)/uv pip compile --quiet --upgrade --universal --no-header --no-annotate --no-emit-index-url --no-emit-find-links \
	  --python-version 3.11 --all-extras --group dev pyproject.toml --output-file constraints.txt

samples: $(VENV)/.developer ## compile the sample pipelines
	for source in pipelines/samples/[a-z]*.py; do $(RUN) $(BIN)/python -W ignore $$source || exit 1; done

wheel: $(VENV)/.developer ## dist/kfdash-….whl
	$(BIN)/uv build --quiet --wheel --out-dir dist .

clean: ## remove what was made here, except data
	rm -rf $(VENV) build dist *.egg-info .*_cache

$(VENV)/bin/uv:
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "kfdash needs Python 3.11 or newer; say which with PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt uv

$(VENV)/.installed: pyproject.toml constraints.txt | $(VENV)/bin/uv
	$(INSTALL) --editable .
	@touch $@

$(VENV)/.developer: pyproject.toml constraints.txt | $(VENV)/bin/uv
	$(INSTALL) --editable '.[kubernetes,postgresql]' --group dev
	@touch $(VENV)/.installed $@
