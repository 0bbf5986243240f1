# `make demo` and `make test` need nothing but Python 3.11 or newer: the first run makes a virtual
# environment with the versions of requirements.lock, by uv where it is present, else by pip.

PYTHON ?= python3
VENV ?= .venv
JOBS ?= 2
ARGS ?=

BIN := $(VENV)/bin
READY := $(VENV)/.ready
UV := $(shell command -v uv 2>/dev/null)
LOCK_OPTIONS := --quiet --upgrade --universal --python-version 3.11 --all-extras --generate-hashes --no-annotate \
    --no-config --custom-compile-command "make lock"

.PHONY: demo test lint format lock clean distclean rtl reports
.DELETE_ON_ERROR:

demo: $(READY)  ## Run the main job on the bundled network; ARGS="--count 8" and such are passed on
	$(BIN)/hwsim demo $(ARGS)

test: $(READY)  ## Run the tests; ARGS="tests/test_cli.py" and such are passed on
	$(BIN)/python -m pytest -n $(JOBS) $(ARGS)

lint: $(READY)  ## Check style, format and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(READY)  ## Put the code into the one format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# The stamp is written last, so that a set-up that was cut short starts again.
$(READY): requirements.lock pyproject.toml
	@command -v "$(PYTHON)" >/dev/null || { \
	    echo "hwsim needs Python 3.11 or newer, and there is no '$(PYTHON)' here; name one with 'make PYTHON=/path/to/python3'" >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; v = sys.version_info; v >= (3, 11) or sys.exit("hwsim needs Python 3.11 or newer, not %d.%d; name one with \"make PYTHON=python3.11\"" % v[:2])'
ifneq ($(UV),)
	test -x $(BIN)/python || $(UV) venv --python "$(PYTHON)" $(VENV)
	$(UV) pip install --python $(BIN)/python --require-hashes -r requirements.lock
	$(UV) pip install --python $(BIN)/python --no-deps --no-build-isolation -e .
else
	test -x $(BIN)/pip || "$(PYTHON)" -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --no-deps --no-build-isolation -e .
endif
	@touch $@

# One lock for every supported Python: uv resolves for all of them at once, pip cannot. Index settings of
# this machine stay out of it.
lock:  ## Bring requirements.lock up to the newest versions that pyproject.toml allows
ifneq ($(UV),)
	$(UV) pip compile $(LOCK_OPTIONS) pyproject.toml -o requirements.lock
else
	"$(PYTHON)" -m venv build/lock
	build/lock/bin/python -m pip install --disable-pip-version-check --quiet uv
	build/lock/bin/uv pip compile $(LOCK_OPTIONS) pyproject.toml -o requirements.lock
endif

clean:  ## Remove what runs leave behind
	rm -rf build dist hwsim-demo .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find hwsim tests benchmarks models -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: clean  ## ... and the virtual environment
	rm -rf $(VENV)

rtl: $(READY)  ## Write the reference designs in rtl/ anew
	$(BIN)/python rtl/generate.py

reports: $(READY)  ## Write the demo's report in reports/demo anew
	$(BIN)/python reports/generate.py
