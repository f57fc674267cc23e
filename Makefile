# Scribble: every target sets up .venv by itself; Python >= 3.11 and make suffice.
#
#   PYTHON=...  the interpreter that makes .venv (found by itself otherwise)
#   ARGS=...    what follows `scribble run`, pytest or the benchmark
#   BASE=...    the commit that bench-compare compares HEAD=... with (HEAD~1)
#   CUDA=...    cuda12 (default; runs on every driver since 525) or cuda13

SHELL := /bin/sh
.SUFFIXES:
.DEFAULT_GOAL := help

VENV := .venv
PEERS_VENV := .venv-peers
MLFLOW_VENV := .venv-mlflow
BIN := $(VENV)/bin
CUDA ?= cuda12
ARGS ?=

ifeq ($(filter cuda12 cuda13,$(CUDA)),)
$(error CUDA is '$(CUDA)'; it must be cuda12 or cuda13)
endif

PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check \
	-c constraints.txt
# asv looks for the interpreter of its environments on PATH: it shall be that of .venv.
ASV_ENV := PATH="$(CURDIR)/$(BIN):$$PATH"
ASV := $(ASV_ENV) $(BIN)/asv --config benchmarks/asv.conf.json
# asv asks who it runs on unless ~/.asv-machine.json knows this host.
ASV_MACHINE := grep -qs "\"$$(uname -n)\"" "$$HOME/.asv-machine.json" || \
	$(ASV) machine --yes >/dev/null 2>&1
BASE ?= HEAD~1
HEAD ?= HEAD
BROWSERS := "$$SCRIBBLE_BROWSER" chromium chromium-browser google-chrome \
	google-chrome-stable
RESULTS := benchmarks/results
PICTURES := runs/pictures
INPUTS := pyproject.toml constraints.txt
QUICK := not validation and not slow and not sweeps and not browser and not faults

.PHONY: help run test test-gpu test-browser test-faults test-mlflow test-sweeps \
	test-validation \
	bench bench-check bench-compare bench-html bench-peers bench-adaptive bench-scaling \
	notebooks pictures lint format clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' \
		Makefile

run: $(VENV)/.base ## simulate: make run ARGS="key=value ..."
	$(BIN)/scribble run $(ARGS)

test: lint ## lint, types and the quick tests
	$(BIN)/python -m pytest -m "$(QUICK)" $(ARGS)

test-gpu: $(VENV)/.$(CUDA) ## the GPU tests; a missing GPU is a failure
	SCRIBBLE_REQUIRE_GPU=1 $(BIN)/python -m pytest -m gpu $(ARGS)

test-mlflow: ## tracked runs in a real MLflow, in .venv-mlflow
	@$(MAKE) --no-print-directory VENV=$(MLFLOW_VENV) $(MLFLOW_VENV)/.mlflow
	SCRIBBLE_REQUIRE_MLFLOW=1 $(MLFLOW_VENV)/bin/python -m pytest tests/mlflow \
		tests/unit/system/test_tracking.py $(ARGS)

test-browser: $(VENV)/.browser ## reports in a headless Chromium
	SCRIBBLE_REQUIRE_BROWSER=1 $(BIN)/python -m pytest -m browser $(ARGS)

test-sweeps: $(VENV)/.sweeps ## sweeps over joblib, Ray, submitit and Optuna
	$(BIN)/python -m pytest -m sweeps $(ARGS)

test-validation: $(VENV)/.test ## exact results and fitted orders (slow)
	$(BIN)/python -m pytest -m "validation or slow" $(ARGS)

# All of faults and fuzz, quick and full, in one session: one account at its end.
test-faults: $(VENV)/.sweeps ## kills, faults and 10^5 bad inputs, with their counts
	$(BIN)/python -m pytest tests/faults tests/fuzz tests/unit/test_config_values.py \
		$(ARGS)

# In .venv itself (--python=same): there the installed code is the working tree, so a
# dirty tree is what is measured, and nothing is built first. A range of commits would
# measure the last commit instead. asv keeps no results of a quick run.
bench: $(VENV)/.bench ## time this working tree quickly: make bench ARGS="-b lattice"
	@$(ASV_MACHINE)
	$(ASV) run --quick --show-stderr --python=same $(ARGS)

bench-check: $(VENV)/.bench ## see whether asv can read the suite
	@$(ASV_MACHINE)
	$(ASV) check --python=same

bench-compare: $(VENV)/.bench ## compare two commits: make bench-compare BASE=HEAD~1
	@$(ASV_MACHINE)
	@$(ASV_ENV) $(BIN)/python benchmarks/compare.py $(ARGS) -- "$(BASE)" "$(HEAD)"

bench-html: $(VENV)/.bench ## measure HEAD if it is not yet, build the pages
	@$(ASV_MACHINE)
	$(ASV) run --skip-existing --show-stderr $(ARGS) HEAD
	$(ASV) publish

bench-peers: ## the lattice step against other packages, in .venv-peers (3 GB)
	@$(MAKE) --no-print-directory VENV=$(PEERS_VENV) $(PEERS_VENV)/.peers
	$(PEERS_VENV)/bin/python -m benchmarks.peers $(ARGS)

bench-adaptive: $(VENV)/.base ## a run that adapts against fixed frequencies
	$(BIN)/python -m benchmarks.adaptive $(ARGS)

bench-scaling: $(VENV)/.report ## cost against size, bridges, frequency and threads
	$(BIN)/python -m benchmarks.kernel_costs $(ARGS)

notebooks: $(VENV)/.notebook ## execute notebooks/*.py into .ipynb, outputs and all
	$(BIN)/python -m experiments.notebooks $(ARGS)

pictures: $(VENV)/.report ## measure and draw the pictures of README.md anew
	rm -rf $(PICTURES)
	$(BIN)/scribble run -q -m +experiment=frequency_sweep \
		hydra.sweep.dir=$(PICTURES)/sweep
	$(BIN)/scribble run -q +experiment=demo record.folder=$(PICTURES)/demo
	$(BIN)/scribble report $(PICTURES)/sweep --pictures
	$(BIN)/scribble report $(PICTURES)/demo --pictures
	cp $(PICTURES)/sweep/study.json $(RESULTS)/frequency_sweep.json
	for theme in light dark; do \
		cp $(PICTURES)/sweep/report-1-*-$$theme.svg \
			$(RESULTS)/frontier-$$theme.svg && \
		cp $(PICTURES)/demo/report-*-tunnel-frequency-$$theme.svg \
			$(RESULTS)/demo-$$theme.svg || exit 1; \
	done

lint: $(VENV)/.test ## style, format and types, without changing a file
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.test ## sort imports and format in place
	$(BIN)/ruff check --select I --fix .
	$(BIN)/ruff format .

clean: ## remove environments, builds and caches (run folders stay)
	rm -rf $(VENV) $(PEERS_VENV) $(MLFLOW_VENV) dist build
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A stamp is written last, so an interrupted install leaves none and is repeated.
$(VENV)/.base: $(VENV)/.created $(INPUTS)
	@echo "Installing Scribble into $(VENV) ..."
	@rm -f $@
	@$(PIP_INSTALL) -e .
	@touch $@

$(VENV)/.test: $(VENV)/.created $(INPUTS)
	@echo "Installing Scribble and its test tools into $(VENV) ..."
	@rm -f $@
	@$(PIP_INSTALL) -e '.[test]'
	@touch $(VENV)/.base $@

$(VENV)/.sweeps: $(VENV)/.test
	@echo "Installing the launchers and sweepers into $(VENV) ..."
	@rm -f $@
	@$(PIP_INSTALL) -e '.[test,joblib,optuna,ray,slurm]'
	@touch $@

$(VENV)/.bench: $(VENV)/.created $(INPUTS)
	@echo "Installing Scribble and its benchmark tools into $(VENV) ..."
	@rm -f $@
	@$(PIP_INSTALL) -e '.[bench]'
	@touch $(VENV)/.base $@

$(VENV)/.report: $(VENV)/.created $(INPUTS)
	@echo "Installing Scribble and Matplotlib into $(VENV) ..."
	@rm -f $@
	@$(PIP_INSTALL) -e '.[report]'
	@touch $(VENV)/.base $@

# A Chromium of the system is preferred; Playwright fetches one where there is none.
$(VENV)/.browser: $(VENV)/.test
	@echo "Installing what drives a browser into $(VENV) ..."
	@rm -f $@
	@$(PIP_INSTALL) -e '.[test,browser]'
	@for name in $(BROWSERS); do \
		command -v "$$name" >/dev/null 2>&1 && exit 0; \
	done; \
	$(BIN)/python -m playwright install chromium || { \
		echo "No Chromium was found and none could be fetched. On Debian and" \
			"Ubuntu: apt install chromium; or name one by SCRIBBLE_BROWSER." >&2; \
		exit 1; \
	}
	@touch $@

$(VENV)/.notebook: $(VENV)/.created $(INPUTS)
	@echo "Installing Scribble and what its notebooks need into $(VENV) ..."
	@rm -f $@
	@$(PIP_INSTALL) -e '.[notebook]'
	@touch $(VENV)/.base $@

# PyTorch brings the CUDA that it was built with, not the one the tests compile with.
$(VENV)/.peers: $(VENV)/.created $(INPUTS)
	@echo "Installing Scribble and its peers into $(VENV); this takes minutes ..."
	@rm -f $@
	@grep -v -e '^cuda-' -e '^nvidia-cuda-' constraints.txt >$(VENV)/constraints.txt
	@$(subst -c constraints.txt,-c $(VENV)/constraints.txt,$(PIP_INSTALL)) \
		-e '.[peers]'
	@touch $@

# MLflow takes no importlib-metadata as new as the one that the others are tested with.
$(VENV)/.mlflow: $(VENV)/.created $(INPUTS)
	@echo "Installing Scribble and MLflow into $(VENV) ..."
	@rm -f $@
	@grep -v -e '^importlib_metadata' constraints.txt >$(VENV)/constraints.txt
	@$(subst -c constraints.txt,-c $(VENV)/constraints.txt,$(PIP_INSTALL)) \
		-e '.[test,mlflow]'
	@touch $@

# CuPy for CUDA 12 and 13 share a module name: one environment holds one of them.
OTHER_cuda12 := cuda13
OTHER_cuda13 := cuda12

$(VENV)/.$(CUDA): $(VENV)/.test
	@if $(BIN)/python -m pip show --quiet cupy-$(OTHER_$(CUDA))x 2>/dev/null; then \
		echo "$(VENV) already holds the extra $(OTHER_$(CUDA)), which excludes" \
			"$(CUDA); run 'make clean' first." >&2; \
		exit 1; \
	fi
	@echo "Installing Scribble and CuPy ($(CUDA)) into $(VENV) ..."
	@rm -f $@
	@$(PIP_INSTALL) -e '.[test,$(CUDA)]'
	@touch $@

# The first interpreter that is new enough and can make an environment wins. One is
# asked for its version, never trusted by name: a version switcher's stub may be dead.
$(VENV)/.created:
	@new=''; old=''; \
	for candidate in $${PYTHON:-python3 python3.13 python3.12 python3.11}; do \
		"$$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
			>/dev/null 2>&1 || continue; \
		old="$$candidate"; \
		"$$candidate" -c 'import ensurepip, venv' >/dev/null 2>&1 || continue; \
		new="$$candidate"; \
		break; \
	done; \
	if [ -z "$$old" ]; then \
		echo "Scribble needs Python 3.11 or newer; tried:" \
			"$${PYTHON:-python3 python3.13 python3.12 python3.11}." \
			"Install one, or name one: make PYTHON=/path/to/python3." >&2; \
		exit 1; \
	fi; \
	if [ -z "$$new" ]; then \
		echo "$$old cannot make a virtual environment, for its ensurepip module" \
			"is missing. On Debian and Ubuntu: apt install python3-venv;" \
			"or name another Python: make PYTHON=/path/to/python3." >&2; \
		exit 1; \
	fi; \
	echo "Making $(VENV) with $$("$$new" --version) ..."; \
	"$$new" -m venv $(VENV)
	@touch $@
