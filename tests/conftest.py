"""Fixtures and settings of all tests: four CPU devices, strict rank promotion, a compilation cache.

Most of the time is spent compiling programs that run once, on a few pixels, so they are compiled
without most optimizations. To compile as for a user:
`JAX_DISABLE_MOST_OPTIMIZATIONS=0 XLA_FLAGS= pytest`.
"""

import dataclasses
import gc
import os
import signal
import tempfile
from importlib.metadata import version
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("JAX_PLATFORMS", "cpu")
ROOT = Path(__file__).resolve().parent.parent
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(ROOT / ".cache" / "jax-tests"))
# Indices of video files are cached there; those of the tests are not worth keeping.
os.environ["XDG_CACHE_HOME"] = tempfile.mkdtemp(prefix="afn_jax-tests-")
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
if version("jaxlib").startswith("0.10."):  # jaxlib 0.12 rejects the first flag
    # Small programs gain nothing from being compiled in parts by several threads: 20 % less work.
    flags = "--xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1"
    os.environ.setdefault("XLA_FLAGS", flags)

import jax  # noqa: E402
import jaxtyping  # noqa: E402
import pytest  # noqa: E402

jax.config.update("jax_num_cpu_devices", 4)
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)


# A shell that starts the tests in the background ignores Ctrl-C, and programs would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items):
    """Starts the longest tests first, so that no process runs one alone at the end."""
    items.sort(key=lambda item: -max((m.args[0] for m in item.iter_markers("timeout")), default=0))


def pytest_collection(session):
    """Imports all test modules without collecting garbage: they stay."""
    gc.disable()


def pytest_collection_finish(session):
    """Exempts what was imported from garbage collection, which took 15 % of the time."""
    gc.freeze()
    gc.enable()


@pytest.fixture(autouse=True, scope="module")
def forget_compiled_programs():
    """Frees compiled programs: each holds memory mappings, and a process may have only 65,530."""
    yield
    jax.clear_caches()
    gc.collect()


@pytest.fixture(autouse=True)
def normal_priority():
    """Undoes what the AV1 encoder SVT does as root: real-time priority, which starves the rest."""
    yield
    if hasattr(os, "sched_getscheduler") and os.sched_getscheduler(0) != os.SCHED_OTHER:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


@pytest.fixture
def shared_data() -> Path:
    """Returns the folder of real videos and flow beside the repository, or skips the test."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("there is no real data in ../shared/data")
    return folder


@pytest.fixture
def optimized():
    """Compiles one test as for a user, with all optimizations."""
    before = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", False)
    yield
    jax.config.update("jax_disable_most_optimizations", before)


@pytest.fixture
def float64():
    """Runs one test in double precision, for gradient checks."""
    jax.config.update("jax_enable_x64", True)
    yield
    jax.config.update("jax_enable_x64", False)


@pytest.fixture
def untyped():
    """Runs one test without the shape and type checks of the test suite, as for a user."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture
def run_main(monkeypatch, capsys):
    """Returns `run_main("train", *arguments) -> (exit code, stdout, stderr)`, in this process."""

    def run(command, *arguments):
        module = __import__(f"{command}.__main__", fromlist=["main"])
        monkeypatch.setattr("sys.argv", [command, *map(str, arguments)])
        capsys.readouterr()
        try:
            code = module.main()
        except SystemExit as stop:
            code = stop.code
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


@pytest.fixture
def shallow_resnets(monkeypatch):
    """Leaves one block in each stage of every ResNet: depth multiplies the time of compilation."""
    from afn_jax.models.baselines import RESNETS
    from afn_jax.models.representation_flow import BACKBONES

    for depth, (block, stage_sizes) in RESNETS.items():
        monkeypatch.setitem(RESNETS, depth, (block, (1,) * len(stage_sizes)))
    for name, backbone in BACKBONES.items():
        shallow = dataclasses.replace(backbone, stage_sizes=(1,) * len(backbone.stage_sizes))
        monkeypatch.setitem(BACKBONES, name, shallow)
