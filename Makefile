# Needs make and Python 3.11 or later; everything else is installed into .venv.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
WORKERS ?= 2

BIN := .venv/bin
ENV := .venv/.installed
APP_ENV := .venv/.installed-app
DOCS_ENV := .venv/.installed-docs
AIF_ENV := .venv/.installed-aif
DASK_ENV := .venv/.installed-dask
PYMC_ENV := .venv/.installed-pymc
UV := .lock-venv/bin/uv
LOCKS := aif browser dask docs pymc
# Examples that are notebooks, too.
NOTEBOOKS := bayes custom_model glm notebook rl tmaze
# The newest Python that is installed and that the dependencies have wheels for.
NEWEST_PYTHON ?= $(shell for v in 3.13 3.12; do for p in python$$v "$$(pyenv prefix $$v 2>/dev/null)/bin/python"; do \
	"$$p" -c "" 2>/dev/null && command -v "$$p" && exit; done; done; echo $(PYTHON))
# What depends on other packages' versions most: tables, files, ArviZ, figures, results.
EDGES := tests/unit/test_coded_files.py tests/unit/test_export.py tests/unit/test_files.py tests/unit/test_fit_contract.py tests/unit/test_table.py
COMPILE = $(UV) pip compile --quiet --upgrade --universal --fork-strategy fewest --python-version 3.11 \
	--no-emit-index-url --no-emit-find-links --no-annotate --custom-compile-command "make lock" pyproject.toml

export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PYRIGHT_PYTHON_IGNORE_WARNINGS := 1

MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: help demo test test-slow test-lowest test-newest lint format type bench docs clean lock

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "pyem needs Python 3.11 or later; '$(PYTHON)' is not. Run: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	$(PYTHON) -m venv --clear .venv

$(ENV): requirements/dev.txt pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet -r requirements/dev.txt
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e .
	@# Without compiled bytecode every start of pyem takes twice as long; some settings make pip skip it.
	@-$(BIN)/python -m compileall -q -j 0 .venv/lib
	@touch $@

$(AIF_ENV): requirements/aif.txt $(ENV)
	$(BIN)/python -m pip install --quiet -r requirements/aif.txt
	@touch $@

$(DASK_ENV): requirements/dask.txt $(ENV)
	$(BIN)/python -m pip install --quiet -r requirements/dask.txt
	@touch $@

$(PYMC_ENV): requirements/pymc.txt $(ENV)
	$(BIN)/python -m pip install --quiet -r requirements/pymc.txt
	@touch $@

$(APP_ENV): requirements/browser.txt $(ENV)
	$(BIN)/python -m pip install --quiet -r requirements/browser.txt
	@touch $@

$(DOCS_ENV): requirements/docs.txt $(ENV)
	$(BIN)/python -m pip install --quiet -r requirements/docs.txt
	@touch $@

demo: $(ENV) ## fit two models to the example data and write the report; all goes to results/demo
	$(BIN)/pyem fit examples/data/demo.csv --model rw1a1b --model rw2a1b \
		--subject subject --block block --trial trial --column choice=choice --column reward=reward \
		--covariate age --out results/demo --force
	$(BIN)/pyem report results/demo --out results/demo/report.html

test: lint ## check format, lint, layers and types, and run the unit tests and doctests
	@# Types are checked meanwhile, by one processor; what is wrong with them is told at the end.
	@told=$$(mktemp); $(BIN)/pyright >$$told 2>&1 & types=$$!; \
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --durations 10; tests=$$?; \
	wait $$types || { cat $$told; tests=1; }; rm -f $$told; exit $$tests

test-slow: $(AIF_ENV) $(APP_ENV) $(DASK_ENV) $(PYMC_ENV) ## run the tests marked slow, and those that compare with pymdp and PyMC
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile -m slow
	$(BIN)/python -m pytest tests/aif/test_pymdp.py tests/aif/test_pybefit.py
	$(MAKE) test-lowest test-newest

test-lowest: $(UV) ## run some tests with the lowest versions that pyproject.toml allows
	rm -rf .venv-lowest && $(UV) venv --quiet --python $(PYTHON) .venv-lowest
	$(UV) pip install --quiet --python .venv-lowest/bin/python --resolution lowest-direct -e ".[excel]" "pytest>=8.3" "polars>=1.0"
	.venv-lowest/bin/python -m pytest -q $(EDGES)

test-newest: $(UV) ## run them with the newest Python here and the newest versions there are
	rm -rf .venv-newest && $(UV) venv --quiet --python $(NEWEST_PYTHON) .venv-newest
	$(UV) pip install --quiet --python .venv-newest/bin/python --upgrade -e ".[excel]" pytest polars
	.venv-newest/bin/python -m pytest -q $(EDGES)

lint: $(ENV) ## check format, lint, and that imports only go down
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports --no-cache --no-logo

format: $(ENV) ## format the code and apply the safe lint fixes
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

type: $(ENV) ## check the types
	$(BIN)/pyright

bench: $(ENV) ## run the benchmarks
	$(BIN)/python -m benchmarks

docs: $(DOCS_ENV) ## build the documentation into site/
	@mkdir -p docs/notebooks
	for name in $(NOTEBOOKS); do \
		$(BIN)/jupytext --quiet --to ipynb --output docs/notebooks/$$name.ipynb examples/$$name.py || exit 1; \
	done
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

clean: ## remove caches and builds, but neither results nor environments
	rm -rf build dist site docs/notebooks .pytest_cache .ruff_cache .jax_cache src/*.egg-info
	find . -path "./.venv*" -prune -o -name __pycache__ -type d -exec rm -rf {} +

$(UV):
	$(PYTHON) -m venv .lock-venv
	.lock-venv/bin/python -m pip install --quiet uv

lock: $(UV) ## resolve the newest allowed versions into requirements/
	$(COMPILE) --extra dev --output-file requirements/dev.txt
	for extra in $(LOCKS); do \
		$(COMPILE) --extra dev --extra $$extra --constraint requirements/dev.txt \
			--output-file requirements/$$extra.txt || exit 1; \
	done
