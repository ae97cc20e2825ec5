# Photosite's commands. `make run` and `make test` set up everything that they need.
#
#   make run     set up, start the service on http://127.0.0.1:8000, print the address
#   make test    set up what tests need, Redis included, and run all of them
#   make lint    ruff and mypy; Dockerfiles, compose, manifests, rules by their validators
#   make generated   dashboards, image requirements, Kubernetes' copy of the rules: what is made from something else
#   make rehearsal   a deployment of processes on this machine: 50 jobs, an alert, a rolling restart (10 minutes)
#   make chaos   kill, freeze, starve: what must hold whatever happens, in 20 minutes and more (MINUTES=20: of one job;
#                FAULTS=200 JOBS=1000: so many faults of every kind at random over so many jobs)
#   make load    200 clients with mixed uploads for five minutes: what they see, and what is lost (nothing)
#   make fuzz    damage raws in every way and see that each is refused or read rightly (MUTATIONS=20000, MINUTES=30 guided)
#   make audit   compare every pin with the published vulnerabilities, where pip-audit and their database are at hand
#   make bench   quality, speed and memory, printed as tables; also bench-quality, bench-speed (ARGS=--help says more)
#                bench-quality compares with BM3D where it is installed: pip install 'photosite[benchmark]'
#                bench-gpu: what a graphics card makes of it: ceilings, share of them, frames a second, as a table
#                bench-files FILES="a.dng b.dng": what denoising does to real raws
#                bench-crops FILES="a.dng" ARGS="--into DIR": pictures of it, and of scenes that are easily spoilt
#                bench-page: how smoothly the page's divider moves
#                bench-noise: how well the noise of a raw is estimated
#                bench-burst: what several frames of one scene gain over one
#                bench-service: what one user's work costs another's; bench-training: steps per second
#                bench-methods: what learning from noisy pictures costs (an hour)
#                bench-networks: decibels and seconds of network architectures, for equal seconds of training (an hour)
#                bench-finetune: what fine-tuning gains on a camera that no model knows (half an hour)
#
# Variables: PYTHON (the interpreter of the virtual environment), HOST, PORT, DATA_DIR,
# TORCH_INDEX (an index with CPU builds of torch, e.g. https://download.pytorch.org/whl/cpu).

PYTHON ?= python3
HOST ?= 127.0.0.1
PORT ?= 8000
DATA_DIR ?=
TORCH_INDEX ?=
VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet --constraint .ci/constraints.txt $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX))

.PHONY: run test unit chaos fuzz load audit lint generated rehearsal bench bench-quality bench-speed bench-gpu bench-crops bench-files bench-training bench-methods bench-networks bench-noise bench-burst bench-service bench-page bench-finetune clean

run: $(VENV)/.installed
	$(BIN)/photosite serve --host $(HOST) --port $(PORT) $(if $(DATA_DIR),--data-dir $(DATA_DIR))

test: $(VENV)/.installed-dev
	.ci/system-packages
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "not integration and not browser and not gpu" -n auto --maxprocesses 4
	$(BIN)/python -m pytest -m "integration or browser or gpu" --durations=10

unit: $(VENV)/.installed-dev
	$(BIN)/python -m pytest

chaos: $(VENV)/.installed-dev
ifdef FAULTS
	$(BIN)/python -m pytest -m "" tests/integration/chaos/test_storm.py --faults $(FAULTS) --storm-jobs $(or $(JOBS),1000) --seed $(or $(SEED),1)
else
	$(BIN)/python -m pytest -m "" tests/integration/chaos --minutes $(or $(MINUTES),6) --durations=10
endif

fuzz: $(VENV)/.installed-dev
	PYTHONPATH=.:tests $(BIN)/python -m fuzzing --mutations $(or $(MUTATIONS),2000) --minutes $(or $(MINUTES),5) $(ARGS)

load: $(VENV)/.installed-dev
	PYTHONPATH=.:tests $(BIN)/python tests/benchmarks/load.py $(ARGS)

audit:
	@command -v pip-audit >/dev/null || { echo 'pip-audit is not installed: pipx install pip-audit' >&2; exit 2; }
	pip-audit --strict --disable-pip --no-deps --requirement .ci/constraints.txt $(ARGS)

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	.ci/system-packages promtool
	$(BIN)/python .ci/lint_deployment.py

generated: $(VENV)/.installed-dev
	$(BIN)/python -m service.dashboards
	$(BIN)/python .ci/prometheus_rule.py
	$(BIN)/python .ci/lock_requirements.py

rehearsal: $(VENV)/.installed-dev
	.ci/system-packages promtool redis-server
	$(BIN)/python -m pytest -m "" tests/integration/rehearsal --jobs 50 --durations=5

bench: bench-quality bench-speed

bench-quality: $(VENV)/.installed-dev
	PYTHONPATH=.:tests $(BIN)/python -m benchmarks.quality $(ARGS)

bench-crops: $(VENV)/.installed-dev
	PYTHONPATH=.:tests $(BIN)/python -m benchmarks.quality.crops $(FILES) $(ARGS)

bench-speed: $(VENV)/.installed-dev
	PYTHONPATH=.:tests $(BIN)/python -m benchmarks.speed $(ARGS)

bench-gpu: $(VENV)/.installed-dev
	PYTHONPATH=.:tests $(BIN)/python -m benchmarks.speed.card $(ARGS)

bench-files: $(VENV)/.installed-dev
	PYTHONPATH=.:tests $(BIN)/python tests/benchmarks/real_files.py $(FILES) $(ARGS)

bench-noise: $(VENV)/.installed-dev
	PYTHONPATH=.:tests $(BIN)/python tests/benchmarks/noise_estimation.py $(ARGS)

bench-burst: $(VENV)/.installed-dev
	PYTHONPATH=.:tests $(BIN)/python tests/benchmarks/burst.py $(ARGS)

bench-training: $(VENV)/.installed-dev
	PYTHONPATH=.:tests $(BIN)/python tests/benchmarks/training_speed.py $(ARGS)

bench-service: $(VENV)/.installed-dev
	PYTHONPATH=.:tests $(BIN)/python tests/benchmarks/service_latency.py $(ARGS)

bench-page: $(VENV)/.installed-dev
	PYTHONPATH=.:tests $(BIN)/python tests/benchmarks/page_slider.py $(ARGS)

bench-methods: $(VENV)/.installed-dev
	PYTHONPATH=.:tests $(BIN)/python tests/benchmarks/methods.py $(ARGS)

bench-networks: $(VENV)/.installed-dev
	PYTHONPATH=.:tests $(BIN)/python -m benchmarks.networks $(ARGS)

bench-finetune: $(VENV)/.installed-dev
	PYTHONPATH=.:tests $(BIN)/python tests/benchmarks/finetune.py $(ARGS)

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Photosite needs Python 3.11 or newer: make PYTHON=python3.11 …")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml .ci/constraints.txt | $(VENV)/bin/python
	$(INSTALL) --editable .
	@touch $@

$(VENV)/.installed-dev: pyproject.toml .ci/constraints.txt | $(VENV)/bin/python
	$(INSTALL) --editable '.[dev]'
	@touch $(VENV)/.installed $@

clean:
	rm -rf $(VENV) build *.egg-info .mypy_cache .pytest_cache .ruff_cache
