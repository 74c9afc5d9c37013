# make train | make test | make lint: the first call of any of them creates the environment.
# make test skips the tests marked slow; make test-all runs every test, as CI does.
#
#   ACCELERATOR=cpu|cuda12|cuda13|tpu   default: cuda12 where nvidia-smi is found, else cpu
#   PYTHON=python3.12                   Python 3.11 to 3.14, to create the environment with
#   VENV=.venv                          where to create it
#   ARGS="--steps 500"                  more arguments for the command

PYTHON ?= python3
VENV ?= .venv
ACCELERATOR ?= $(shell command -v nvidia-smi >/dev/null 2>&1 && echo cuda12 || echo cpu)
RUN ?= runs/actionflownet-toy

# On a CPU, XLA allocates memory for every result, which is cheaper in huge pages.
export GLIBC_TUNABLES ?= glibc.malloc.hugetlb=1

ifeq ($(filter $(ACCELERATOR),cpu cuda12 cuda13 tpu),)
$(error ACCELERATOR=$(ACCELERATOR) is not known: use cpu, cuda12, cuda13 or tpu)
endif
comma := ,
EXTRAS := train,dev$(if $(filter-out cpu,$(ACCELERATOR)),$(comma)$(ACCELERATOR))

READY := $(VENV)/ready-$(ACCELERATOR)
BIN := $(VENV)/bin

.PHONY: train test test-slow test-all lint types format check-gpu cluster-demo clean

train: $(READY)
	$(BIN)/python -m train actionflownet --scale toy --run-dir $(RUN) $(ARGS)
	@$(BIN)/python -m eval action --run $(RUN)

test: $(READY)
	$(BIN)/python -m pytest $(ARGS)

# The slow tests: every stage of every recipe, runs that must learn something, the largest gradient
# checks, and all annotations of shapes.
TYPED := afn_jax.ops,afn_jax.losses,afn_jax.nn,afn_jax.models,beartype.beartype
test-slow: $(READY)
	$(BIN)/python -m pytest -m slow --jaxtyping-packages=$(TYPED) $(ARGS)

test-all: test test-slow

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

# All that is measured on a GPU, about two hours at most; see benchmarks/check_gpu.py.
check-gpu: $(READY)
	$(BIN)/python -m benchmarks.check_gpu $(ARGS)

# Two processes on this machine train one run, one of them is killed and started again, and the result
# is compared with one process: a few minutes.
cluster-demo: $(READY)
	$(BIN)/python -m benchmarks.cluster_demo $(ARGS)

# Every public name of the package has a complete type. Installs pyright, about 100 MB.
types: $(READY)
	$(BIN)/python -m pip install --quiet 'pyright[nodejs]'
	PATH="$(abspath $(BIN)):$$PATH" PYTHONPATH="$(CURDIR)" \
	  $(BIN)/pyright --verifytypes afn_jax --ignoreexternal

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))' \
	  2>/dev/null || \
	  { found=$$($(PYTHON) --version 2>/dev/null) || found="missing or does not start"; \
	    echo "afn_jax needs Python 3.11 to 3.14; $(PYTHON) is $$found." \
	    "Choose another, e.g. make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || \
	  { echo "$(PYTHON) cannot create virtual environments. On Debian and Ubuntu:" \
	    "apt-get install python3-venv"; exit 1; }
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[$(EXTRAS)]'
	@rm -f $(VENV)/ready-*
	@touch $@

clean:
	rm -rf $(VENV) .cache .pytest_cache .ruff_cache build *.egg-info
