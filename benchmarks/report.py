"""Writing figures into `docs/benchmarks.md`, one section for each script and kind of machine."""

import os
import platform
from pathlib import Path

import jax
import torch

from benchmarks.huge_pages import asked_for_huge_pages

PATH = Path(__file__).resolve().parent.parent / "docs" / "benchmarks.md"
ON_GPU = jax.default_backend() == "gpu" and torch.cuda.is_available()

_INTRODUCTION = """# Speed

Written by `python benchmarks/motion_ops.py` and `python benchmarks/networks.py`. Each row runs ours
and its peers in one process, in turns, and divides medians: below 1 ours is faster. In its turn
each runs for a while before it is timed, because the threads of the one before still wait for work
in a busy loop. All of it runs with huge pages (below). "Target" is what we set out to reach. The
peers in PyTorch, in `benchmarks/torch_peers.py` and `benchmarks/torch_networks.py`, are the same
arithmetic, plainly.

**On Linux CPUs, set `GLIBC_TUNABLES=glibc.malloc.hugetlb=1` for training as well**, as these
scripts do for themselves and so for the peers. XLA writes each result into memory that is new to
the process, in pages of 4 KiB if nobody asks for larger ones: without, on one core, a warp of 64
channels takes 1.8 times as long, and on two a train step of `r3d18` 1.1 times. PyTorch keeps its
memory and gains less.
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
    pages = ", huge pages" if asked_for_huge_pages() else ""
    return f"{cores}, Python {platform.python_version()}, {versions}{pages}"


def verdict(ratio: float, target: float | None) -> str:
    if target is None:
        return ""
    return f"{target:g} " + ("met" if ratio <= target else "**missed**")
