"""Writing figures into `docs/benchmarks.md`, one section for each script and kind of machine."""

import os
import platform
from pathlib import Path

import jax
import torch

PATH = Path(__file__).resolve().parent.parent / "docs" / "benchmarks.md"
ON_GPU = jax.default_backend() == "gpu" and torch.cuda.is_available()

_INTRODUCTION = """# Speed

Written by `python benchmarks/motion_ops.py` and `python benchmarks/networks.py`. Each row runs ours
and its peers in one process, in turns, and divides medians: below 1 ours is faster. Each is called
twice in a row and the second call is timed, because the threads of the one before it may still be
waiting for work in a busy loop. "Target" is what we set out to reach. The peers in PyTorch, in
`benchmarks/torch_peers.py` and `benchmarks/torch_networks.py`, are the same arithmetic, plainly.
"""


def write_section(title: str, body: str) -> None:
    """Replaces the section of that title, or adds it at the end."""
    text = PATH.read_text() if PATH.exists() else ""
    sections = text.split("\n## ")[1:]
    kept = {section.split("\n", 1)[0]: section.rstrip() + "\n" for section in sections}
    kept[title] = f"{title}\n\nMeasured on {machine()}.\n\n{body.rstrip()}\n"
    PATH.write_text("\n## ".join([_INTRODUCTION, *kept.values()]))


def machine() -> str:
    """What the figures were measured on."""
    versions = f"JAX {jax.__version__}, PyTorch {torch.__version__}"
    if ON_GPU:
        driver = jax.devices()[0].client.platform_version.splitlines()[-1]
        return f"{torch.cuda.get_device_name()}, {driver}, {versions}"
    cores = f"{os.cpu_count()} CPU cores ({platform.machine()})"
    return f"{cores}, Python {platform.python_version()}, {versions}"


def verdict(ratio: float, target: float | None) -> str:
    if target is None:
        return ""
    return f"{target:g} " + ("met" if ratio <= target else "**missed**")
