"""Starts JAX on the available device, with a one-line warning if it is not the expected one."""

import importlib.util
import logging
import os
import sys
from pathlib import Path

import jax

_PLUGINS = ("jax_cuda12_plugin", "jax_cuda13_plugin", "libtpu")


def user_cache() -> str:
    """Returns the user's folder for compiled programs: `$XDG_CACHE_HOME/afn_jax/compiled`.

    Without the variable it is `~/.cache/afn_jax/compiled`.
    """
    folder = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return str(Path(folder) / "afn_jax" / "compiled")


def start_jax(compilation_cache: str = "") -> None:
    """Initializes JAX; afterwards `jax.devices()` works.

    GPU wheels on a machine without a GPU are not an error: a warning says that the CPU is used.

    Args:
        compilation_cache: folder for compiled programs; empty: none.

    Raises:
        ValueError: JAX_PLATFORMS names a platform that cannot start here.
    """
    if compilation_cache:
        jax.config.update("jax_compilation_cache_dir", compilation_cache)
    # JAX logs a traceback for a plugin without a device, although it falls back to the CPU.
    logger = logging.getLogger("jax._src.xla_bridge")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    asked = os.environ.get("JAX_PLATFORMS", "")
    try:
        backend = jax.default_backend()
    except (RuntimeError, AssertionError) as error:
        cause = str(error).splitlines()[0] if str(error) else "it found no usable device"
        raise ValueError(
            f"JAX_PLATFORMS={asked}: JAX cannot start that platform here ({cause}). "
            "Check that nvidia-smi lists a GPU and that the driver is new enough for the installed "
            "CUDA wheels, or use the CPU: JAX_PLATFORMS=cpu."
        ) from None
    finally:
        logger.setLevel(level)
    accelerated = [name for name in _PLUGINS if importlib.util.find_spec(name)]
    if backend == "cpu" and accelerated and asked != "cpu":
        print(
            f"warning: {accelerated[0]} is installed, but no such device is usable here: "
            "computing on the CPU. (nvidia-smi shows whether the driver sees a GPU.)",
            file=sys.stderr,
        )
