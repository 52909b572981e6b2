# Two targets do everything on a machine with Python >= 3.11 and make: `make demo` and `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check

# Bare servers lack libGL, which OpenCV's wheel links for windows that we never open; its headless twin does not.
CV_WITHOUT_GL = $(BIN)/python -c 'import cv2' 2>/dev/null || \
	$(PIP) install --quiet --no-deps --force-reinstall 'opencv-contrib-python-headless>=5.0'

.PHONY: demo test lint types layers pytest gallery bench clean

demo: $(VENV)/.demo
	$(BIN)/python examples/01_stereo_film.py demo
	$(BIN)/python examples/08_recast.py demo

test: lint types layers pytest

gallery: $(VENV)/.demo
	$(BIN)/python examples/gallery.py gallery

bench: $(VENV)/.test
	$(BIN)/python benchmarks/run.py

lint: $(VENV)/.test
	$(BIN)/ruff check src tests examples benchmarks tools
	$(BIN)/ruff format --check src tests examples benchmarks tools

types: $(VENV)/.test
	$(BIN)/mypy

layers: $(VENV)/.test
	$(BIN)/lint-imports

pytest: $(VENV)/.test
	$(BIN)/python -m pytest --numprocesses auto --dist loadfile

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Diorama needs Python 3.11 or newer; try make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) install --quiet --editable '.[people,rig,samples]' --constraint constraints.txt
	$(CV_WITHOUT_GL)
	touch $@

$(VENV)/.test: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) install --quiet --editable '.[people,rig,hub,samples,train,test]' --constraint constraints.txt
	$(CV_WITHOUT_GL)
	touch $@

clean:
	rm -rf demo gallery build dist .pytest_cache .ruff_cache .mypy_cache
