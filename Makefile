# `make help` lists what there is. Every target sets up what it needs; a second run is quick.
SHELL := /bin/bash
.DEFAULT_GOAL := help

VENV ?= .venv
PHOTOS ?=
WORDS ?=
ENCODER ?=
ARGS ?=
export VENV PHOTOS WORDS ENCODER
bin := $(VENV)/bin

# Test processes share the cores, so each computes with one thread unless told otherwise.
test_env := OMP_NUM_THREADS=$${OMP_NUM_THREADS:-1} LIKENESS_TEST_SERVICES=$${LIKENESS_TEST_SERVICES:-required}
timed := . scripts/steps.sh; step

.PHONY: help setup demo check format docs test bench up clean

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "  make %-8s %s\n", $$1, $$2}' Makefile

setup: ## make .venv with the tested versions of everything (done by the others when needed)
	@scripts/setup.sh

demo: setup ## index a small collection, search it by words and by picture: [PHOTOS=~/Pictures] [WORDS="…"]
	@$(timed) "demo" $(bin)/python -m scripts.demo $${PHOTOS:+--photos "$$PHOTOS"} \
		$${WORDS:+--words "$$WORDS"} $${ENCODER:+--encoder "$$ENCODER"} $(ARGS)

check: setup ## style, types, layers and docs: what CI runs first
	@$(timed) "style (ruff)" $(bin)/ruff check .
	@$(timed) "format (ruff)" $(bin)/ruff format --check .
	@$(timed) "types (mypy --strict)" $(bin)/mypy
	@$(timed) "layers (import-linter)" $(bin)/lint-imports --no-cache
	@$(timed) "docs" $(bin)/python -m scripts.reference --check

format: setup ## mend style and format where that can be done by machine
	@$(bin)/ruff check --fix .
	@$(bin)/ruff format .

docs: setup ## write the reference pages of docs/ from the code
	@$(bin)/python -m scripts.reference

test: setup ## all tests, with the servers that they need: [ARGS="tests/unit -k word"]
	@scripts/services.sh
	@$(timed) "tests" env $(test_env) $(bin)/python -m pytest -n auto --maxprocesses 8 --dist worksteal $(ARGS)

bench: setup ## the benchmarks, against named peers: [ARGS="embed clothing"]
	@$(timed) "benchmarks" $(bin)/python -m benchmarks $(ARGS)

up: setup ## servers to try things with, until Ctrl-C; prints how to use them
	@scripts/services.sh
	@$(bin)/python -m scripts.up

clean: ## remove what the other targets made, the environment included
	rm -rf .venv demo build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
