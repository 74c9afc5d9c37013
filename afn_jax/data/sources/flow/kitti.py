"""KITTI flow 2012 (Geiger et al. 2012; 194 pairs) and 2015 (Menze and Geiger 2015; 200 pairs).

`training/` holds the frames `000000_10.png` and `000000_11.png` (2015: `image_2`; 2012: `colored_0`
or, in gray, `image_0`) and their sparse flow as 16-bit png: `flow_occ` for all known pixels and
`flow_noc` for those that the next frame shows too. Pixels only in the former are occluded. With the
multi-view extension there are frames 00 to 20, which form one sequence.

There is no official split, so a fifth of the pairs, chosen by name, is for testing.
"""

import functools
import re
from collections import defaultdict
from pathlib import Path

from afn_jax.data.files.flow import read_kitti_png
from afn_jax.data.source import Skipped
from afn_jax.data.sources.flow.sequence import (
    FlowDataset,
    FlowSequence,
    GroundTruth,
    choose_split,
    consecutive,
    true_flow,
)

FRAME_FOLDERS: dict[int, tuple[str, ...]] = {2012: ("colored_0", "image_0"), 2015: ("image_2",)}
_FRAME = re.compile(r"(\d{6})_(\d{2})")


def kitti(root: str | Path, *, year: int, split: str = "train", num_frames: int = 2) -> FlowDataset:
    """Opens a split of KITTI flow.

    Args:
        root: the unpacked dataset, or its `training` folder.
        year: 2012 or 2015.
        split: "train", "test" or "all".
        num_frames: frames per clip; more than 2 need the multi-view extension.

    Raises:
        ValueError: an argument is wrong, or the folder is not this dataset.
    """
    root = Path(root)
    training = root if (root / "flow_occ").is_dir() else root / "training"
    if not (training / "flow_occ").is_dir():
        test = root.name == "testing" or (root / "testing").is_dir()
        raise ValueError(
            f"root: there is no folder {str(training / 'flow_occ')!r}"
            + (" (the folder testing has no ground truth)" if test else "")
            + "; give the unpacked KITTI flow benchmark, with training/flow_occ"
        )
    names = FRAME_FOLDERS[year]
    folder = next((training / name for name in names if (training / name).is_dir()), None)
    if folder is None:
        other = 2015 if year == 2012 else 2012
        is_other = any((training / name).is_dir() for name in FRAME_FOLDERS[other])
        raise ValueError(
            f"root: KITTI {year} has its frames in {' or '.join(names)}, and {str(training)!r} has "
            "no such folder" + (f"; it looks like KITTI {other}" if is_other else "")
        )
    frames: dict[str, dict[int, str]] = defaultdict(dict)
    for path in folder.glob("*.png"):
        if match := _FRAME.fullmatch(path.stem):
            frames[match[1]][int(match[2])] = str(path)
    groups: dict[str, list[FlowSequence]] = {}
    skipped: list[Skipped] = []
    for path in sorted((training / "flow_occ").glob("*.png")):
        if not (match := _FRAME.fullmatch(path.stem)):
            continue
        visible = training / "flow_noc" / path.name
        truth = functools.partial(
            read_kitti_truth, str(path), str(visible) if visible.is_file() else None
        )
        where = folder.relative_to(root).as_posix()
        sequences, lacking = consecutive(where, frames[match[1]], {int(match[2]): truth})
        skipped += [Skipped(f"{path}", item.reason) for item in lacking]
        if sequences:
            groups[match[1]] = sequences
    if not groups:
        raise ValueError(
            f"root: no flow in {str(training / 'flow_occ')!r} has its two frames in "
            f"{str(folder)!r}, with names such as 000000_10.png and 000000_11.png"
        )
    chosen = choose_split(groups, split, f"KITTI {year}")
    return FlowDataset(chosen, num_frames=num_frames, skipped=skipped)


def read_kitti_truth(flow: str, visible: str | None) -> GroundTruth:
    """Reads a file of `flow_occ` and, to find occluded pixels, that of `flow_noc`."""
    truth, known = read_kitti_png(flow)
    if visible is None:
        return GroundTruth(truth, known)
    _, seen = read_kitti_png(visible)
    if seen.shape != known.shape:
        raise ValueError(
            f"{visible}: (height, width) is {seen.shape}, that of {flow} {known.shape}"
        )
    return GroundTruth(truth, known, known & ~seen)


_ROOT = "the unpacked KITTI flow benchmark"
KITTI2012 = true_flow(
    functools.partial(kitti, year=2012),
    "KITTI 2012: 194 pairs, sparse flow, no actions",
    root=_ROOT,
)
KITTI2015 = true_flow(
    functools.partial(kitti, year=2015),
    "KITTI 2015: 200 pairs, sparse flow, no actions",
    root=_ROOT,
)
