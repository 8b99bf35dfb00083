# `make run` serves the page, `make test` checks everything; each sets up what it needs, once.
#
#   make run ARGS="--model 3b --share"     pass flags on to app.py
#   make run PYTHON=python3.12             choose the Python for the virtual environment
#   make run PIP_ARGS="--index-url URL"    install from another index, for example PyTorch's own for CPU builds

PYTHON ?= python3
PIP_ARGS ?=
ARGS ?=
BIN := .venv/bin
# Two at a time, each file as a whole, the longest first; a browser beside models would wait too long for its pages.
PARALLEL := -n 2 --dist loadfile --no-loadscope-reorder

.PHONY: run test lint clean

run: .venv/runtime.stamp
	exec $(BIN)/python app.py $(ARGS)

test: lint
	$(BIN)/python -m pytest $(PARALLEL) --ignore tests/browser
	REQUIRE_BROWSER=1 $(BIN)/python -m pytest $(PARALLEL) tests/browser

lint: .venv/dev.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	@rm -f ui/*.pyi  # gradio writes them when the page is built; mypy would read them instead of the modules
	$(BIN)/mypy
	$(BIN)/hadolint Dockerfile

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed; name it with PYTHON=python3.11"; exit 1; }
	@$(PYTHON) -m venv .venv || \
		{ rm -rf .venv; echo "The venv module is missing; on Debian and Ubuntu: apt-get install python3-venv"; exit 1; }

.venv/runtime.stamp: requirements.txt constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIP_ARGS) -c constraints.txt -r requirements.txt
	@touch $@

.venv/dev.stamp: requirements-dev.txt .venv/runtime.stamp | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIP_ARGS) -c constraints.txt -r requirements-dev.txt
	@touch $@
