"""Writes results to `docs/benchmarks.md`, one section per script and kind of machine."""

import os
import platform
from pathlib import Path

import jax
import torch

from benchmarks.huge_pages import asked_for_huge_pages

PATH = Path(__file__).resolve().parent.parent / "docs" / "benchmarks.md"
ON_GPU = jax.default_backend() == "gpu" and torch.cuda.is_available()

_INTRODUCTION = """# Speed

Written by `python benchmarks/motion_ops.py`, `python benchmarks/networks.py` and, for "Inference as
in the papers", `python -m benchmarks.inference`, which has no peers. For each row of the others,
our implementation and its peers run in one process, in turns. The ratio is that of the median
times: below 1, ours is faster. Each implementation first runs untimed, until the idle threads of
the previous one have stopped spinning. Everything runs with huge pages (see below). "Target" is
the ratio that we set out to reach. The PyTorch peers, in `benchmarks/torch_peers.py` and
`benchmarks/torch_networks.py`, are straightforward implementations of the same arithmetic.

**On Linux CPUs, set `GLIBC_TUNABLES=glibc.malloc.hugetlb=1` for training too.** `make` sets it,
and these scripts set it for themselves and therefore for the peers. XLA writes each result into
freshly allocated memory, in pages of 4 KiB by default. With small pages, a warp of 64 channels
takes 1.8 times as long on one core, and a training step of `r3d18` 1.1 times as long on two.
PyTorch reuses its memory and gains less.
"""


def write_section(
    title: str,
    body: str,
    groups: dict[str, str] | None = None,
    *,
    measured_on: str | None = None,
) -> None:
    """Replaces the section of that title, or adds it at the end.

    Args:
        title: title of the section.
        body: text of the section before its tables.
        groups: tables by title; other tables of the section are kept.
        measured_on: the machine and the versions; None: as `machine()` describes them.
    """
    text = PATH.read_text() if PATH.exists() else ""
    sections = _parts(text, "\n## ")
    tables = _parts(sections.get(title, ""), "\n### ") | {
        name: f"{name}\n\n{table.rstrip()}\n" for name, table in (groups or {}).items()
    }
    start = f"{title}\n\nMeasured on {measured_on or machine()}.\n\n{body.rstrip()}\n"
    sections[title] = "\n### ".join([start, *tables.values()] if groups else [start])
    PATH.write_text("\n## ".join([_INTRODUCTION, *sections.values()]))


def _parts(text: str, mark: str) -> dict[str, str]:
    """Splits a text at each mark; returns the parts by their first lines."""
    return {part.split("\n", 1)[0]: part.rstrip() + "\n" for part in text.split(mark)[1:]}


def machine() -> str:
    """Describes the machine and the versions that results are measured with."""
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
