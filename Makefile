# make demo | test | …: each first makes or completes the virtual environment (docs/installation.md).
#   make demo INPUT=video.mp4      TORCH=cu126 make demo      make test PYTHON=python3.12

PYTHON ?= python3
ROS ?= kilted
DEVICE ?= cpu
TORCH ?= $(if $(filter cuda%,$(DEVICE)),cu126,cpu)
VENV ?= .venv
INPUT ?=
SECTIONS ?=
OUT ?= demo_out
MINUTES ?= 60
CASES ?= 100000
RESULTS ?=
RUN ?= training_runs/small
PROCESSES ?= 1
START_FROM ?=
TRAIN_OPTIONS ?=
BIN := $(VENV)/bin
SET_UP := $(PYTHON) tools/set_up.py --venv $(VENV) --ros $(ROS) --torch '$(TORCH)'
quoted = '$(subst ','\'',$(1))'

.DEFAULT_GOAL := help
.PHONY: help demo report test test-system test-jazzy test-full bench soak fuzz mutate train lint environment test-environment lock

help:  ## Say what there is
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

demo: environment  ## Reconstruct INPUT (default: a made sequence) through the real node, into OUT
	@$(BIN)/ttt3r demo $(if $(INPUT),$(call quoted,$(INPUT))) --out $(call quoted,$(OUT))

report: environment  ## Measure the shipped model; fill docs/evaluation.md
	@VENV=$(VENV) tools/report.sh

test: lint  ## Check style and types, run the tests
	@$(BIN)/python -m pytest -m 'not system and not full'

test-system: test-environment  ## Test the real node in processes of its own
	@$(BIN)/python -m pytest -m system

test-jazzy:  ## Run all tests but the full-size ones on ROS 2 Jazzy's wheels, in .venv-jazzy
	@$(MAKE) --no-print-directory ROS=jazzy VENV=.venv-jazzy test-environment
	@.venv-jazzy/bin/python -m pytest -m 'not full'

test-full: test-environment  ## Test the network at full size
	@$(BIN)/python -m pytest -m full

bench: environment  ## Measure speed; SECTIONS=all with the full model, DEVICE=cuda on a GPU
	@$(BIN)/python tools/bench.py $(SECTIONS) --device $(DEVICE)

soak: environment  ## Run the real node for MINUTES with listeners that come and go; 1 if it grows
	@$(BIN)/python tools/soak.py $(MINUTES)

fuzz: test-environment  ## Fuzz each reader of foreign data with CASES cases (needs atheris: pip install it)
	@for target in $$(ls test/fuzz/corpus); do nice -n 10 $(BIN)/python tools/fuzz.py run $$target $(CASES) || exit 1; done

mutate: test-environment  ## Take each promise out of the node and see a test fail; goes on with RESULTS=FILE
	@$(BIN)/python tools/mutate.py --check-clean $(if $(RESULTS),--results $(call quoted,$(RESULTS)))

train: environment  ## Train the small model in RUN, from START_FROM or from nothing, by PROCESSES or on a GPU (DEVICE=cuda), with TRAIN_OPTIONS; resumes
	@nice -n 19 $(BIN)/python -m ttt3r_ros.training --run $(call quoted,$(RUN)) --device $(DEVICE) --processes $(PROCESSES) \
		$(if $(START_FROM),--start-from $(call quoted,$(START_FROM))) $(TRAIN_OPTIONS)

lint: test-environment  ## Check style and types only
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/mypy --python-version 3.10 --disable-error-code no-any-return --no-warn-unused-ignores

environment:
	@$(SET_UP)

test-environment:
	@$(SET_UP) --tests

COMPILE := uv pip compile --quiet --upgrade --universal --python-version 3.10 --generate-hashes \
	--no-annotate --custom-compile-command 'make lock'

lock:  ## Take the newest versions into the locked requirements (needs uv)
	cd requirements && $(COMPILE) pip.in -o pip.txt
	cd requirements && $(COMPILE) package.in ros-$(ROS).in -o $(ROS).txt
	cd requirements && $(COMPILE) package.in ros-$(ROS).in test.in -c $(ROS).txt -o $(ROS)-test.txt
