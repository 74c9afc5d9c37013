"""FlyingChairs (Dosovitskiy et al., "FlowNet", 2015): 22,872 pairs, rendered chairs on photographs.

`data/` holds `00001_img1.ppm`, `00001_img2.ppm` and `00001_flow.flo`. The official split is a file
with one line per pair, 1 for training (22,232 pairs) or 2 for validation (640):
`FlyingChairs_train_val.txt`, also known as `chairs_split.txt`.

The samples in FlowNet 2.0's code, `0img0.ppm`, `0img1.ppm` and `0flow.flo`, can be read too.
"""

import functools
import os
import re
from pathlib import Path

from afn_jax.data.files.flow import read_flo
from afn_jax.data.source import Skipped
from afn_jax.data.sources.flow.sequence import (
    FlowDataset,
    FlowSequence,
    GroundTruth,
    check_split,
    true_flow,
)

LISTS = ("FlyingChairs_train_val.txt", "chairs_split.txt")
_FLOW = re.compile(r"(\d+)_?flow\.flo")
_FRAMES = (("{}_img1.ppm", "{}_img2.ppm"), ("{}img0.ppm", "{}img1.ppm"))
_CODES = {"train": 1, "test": 2}


def flying_chairs(
    root: str | Path,
    *,
    split: str = "train",
    annotations: str | Path | None = None,
    num_frames: int = 2,
) -> FlowDataset:
    """Opens a split of FlyingChairs.

    Args:
        root: `FlyingChairs_release`, its `data` folder, or the folder above.
        split: "train" or "test", the official validation pairs; or "all".
        annotations: the file of the split; the default is one of `LISTS` in the folder of the
            pairs, in `root` or in the folder above it.
        num_frames: frames per clip, at most 2.

    Raises:
        ValueError: there are no pairs or no valid file of the split, or `num_frames` exceeds 2.
    """
    check_split(split)
    root = Path(root)
    folder = _folder_of_pairs(root)
    names = set(os.listdir(folder))
    flows = {int(match[1]): match[0] for name in names if (match := _FLOW.fullmatch(name))}
    where = "" if folder == root else folder.relative_to(root).as_posix()
    codes = None if split == "all" else _read_codes(_find_list(root, folder, annotations))
    if codes is None:
        wanted = sorted(flows)
        skipped = []
    else:
        wanted = [number for number, code in codes.items() if code == _CODES[split]]
        skipped = [
            Skipped(str(folder / name), "not in the list of the split")
            for number, name in sorted(flows.items())
            if number not in codes
        ]
    sequences = []
    for number in wanted:
        if number not in flows:
            skipped.append(Skipped(str(folder / f"{number:05d}_flow.flo"), "listed but missing"))
            continue
        stem = re.match(r"\d+", flows[number])[0]
        pairs = ([name.format(stem) for name in kind] for kind in _FRAMES)
        frames = next((pair for pair in pairs if names.issuperset(pair)), None)
        path = folder / flows[number]
        if frames is None:
            skipped.append(Skipped(str(path), "its two frames are missing"))
            continue
        truth = functools.partial(_read_truth, str(path))
        paths = tuple(str(folder / frame) for frame in frames)
        sequences.append(FlowSequence(where, paths, (truth, None)))
    if not sequences:
        raise ValueError(
            f"root: none of the {len(wanted)} {split} pairs of FlyingChairs is complete in "
            f"{str(folder)!r}; give the unpacked FlyingChairs_release, or use another split"
        )
    return FlowDataset(sequences, num_frames=num_frames, skipped=skipped)


def _read_truth(path: str) -> GroundTruth:
    return GroundTruth(*read_flo(path))


def _folder_of_pairs(root: Path) -> Path:
    below = sorted(path for path in root.iterdir() if path.is_dir()) if root.is_dir() else []
    for folder in (root, root / "data", root / "FlyingChairs_release" / "data", *below):
        if folder.is_dir() and any(_FLOW.fullmatch(name) for name in os.listdir(folder)):
            return folder
    raise ValueError(
        f"root: {str(root)!r} holds no FlyingChairs: no 00001_flow.flo in it or in its folder "
        "data; give the unpacked FlyingChairs_release"
    )


def _find_list(root: Path, folder: Path, annotations: str | Path | None) -> Path:
    if annotations:
        path = Path(annotations)
        if not path.is_file():
            raise ValueError(
                f"data.annotations: there is no file {str(path)!r}; give one of {LISTS}"
            )
        return path
    for base in (folder, folder.parent, root, root.resolve().parent):
        for name in LISTS:
            if (base / name).is_file():
                return base / name
    raise ValueError(
        f"root: the official split of FlyingChairs, {' or '.join(LISTS)}, is not in {str(root)!r}; "
        "put it there, give it as annotations, or use split 'all'"
    )


def _read_codes(path: Path) -> dict[int, int]:
    """Returns 1 or 2 by number of the pair; line 1 is pair 00001."""
    lines = path.read_text(encoding="utf-8-sig").split()
    wrong = [number for number, line in enumerate(lines, 1) if line not in ("1", "2")]
    if wrong or not lines:
        what = f"line {wrong[0]} is {lines[wrong[0] - 1]!r}" if wrong else "the file is empty"
        raise ValueError(f"{path}: {what}; each line must be 1 (train) or 2 (validation)")
    return {number: int(line) for number, line in enumerate(lines, 1)}


SOURCE = true_flow(
    flying_chairs,
    "FlyingChairs: 22,872 rendered pairs, exact flow, no actions",
    root="FlyingChairs_release",
    options=("annotations",),
    official_split=True,
)
