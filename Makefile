# From a fresh clone, every target first builds .venv with the tested versions of constraints.txt.
PYTHON ?= $(shell for python in python3.11 python3.12 python3.13 python3; do \
	$$python -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' 2>/dev/null \
	&& echo $$python && break; done)
BIN := .venv/bin
# From Python 3.12 on, ArviZ is 1.x.
PYTHON_313 ?= $(shell for python in python3.13 "$$(pyenv prefix 3.13 2>/dev/null)/bin/python"; do \
	"$$python" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 13))' 2>/dev/null \
	&& echo "$$python" && break; done)
USES_ARVIZ := $(addprefix tests/inference/test_,$(addsuffix .py,abduction chains diagnostics inference_data mcmc posteriors weights)) \
	tests/cli/test_report.py::test_the_interval_of_a_row_is_the_spread_of_the_refits \
	causal_pyro_models/inference causal_pyro_models/plots/diagnostics.py

.PHONY: run test check check-arviz format nightly bench docs clean

run: .venv/installed-test
	$(BIN)/causal-pyro run

test: .venv/installed-test
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --doctest-modules --cov

check: .venv/installed-test
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	OMP_NUM_THREADS=1 $(BIN)/pytest -q --doctest-modules causal_pyro_models

check-arviz:
ifeq ($(PYTHON_313),)
	@echo 'There is no Python 3.13 here, so nothing was run with ArviZ 1.x.'
else
	$(MAKE) .venv-3.13/installed
	OMP_NUM_THREADS=1 .venv-3.13/bin/pytest -q -n 2 --doctest-modules $(USES_ARVIZ)
endif

format: .venv/installed-test
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

nightly: .venv/installed-test
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.identification.random_queries

bench: .venv/installed-bench
	$(BIN)/python benchmarks/counterfactuals.py
	$(BIN)/python benchmarks/identification.py
	$(BIN)/python benchmarks/families.py
	$(BIN)/python benchmarks/models.py
	$(BIN)/python benchmarks/training.py
	$(BIN)/python benchmarks/programs.py
	$(BIN)/python benchmarks/nuts.py

docs: .venv/installed-docs
	$(BIN)/mkdocs build

clean:
	rm -rf .venv .venv-3.13 build out *.egg-info .coverage .mypy_cache .pytest_cache .ruff_cache .import_linter_cache

.venv/installed-%: pyproject.toml constraints.txt
	@test -n '$(PYTHON)' || { echo 'Found no Python 3.11 to 3.13: make PYTHON=/path/to/python' >&2; exit 1; }
	test -x $(BIN)/pip || $(PYTHON) -m venv .venv
	$(BIN)/pip install -q -c constraints.txt -e '.[$*]'
	touch $@

.venv-3.13/installed: pyproject.toml constraints.txt
	test -x .venv-3.13/bin/pip || $(PYTHON_313) -m venv .venv-3.13
	.venv-3.13/bin/pip install -q -c constraints.txt -e . hypothesis pytest pytest-xdist
	touch $@
