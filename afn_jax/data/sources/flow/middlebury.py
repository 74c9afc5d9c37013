"""Middlebury flow (Baker et al. 2011): eight small scenes with dense flow of sub-pixel accuracy.

`other-data/SCENE/frame10.png` and `frame11.png`, and `other-gt-flow/SCENE/flow10.flo`. With all
frames unpacked (07 to 14) each scene is one sequence. Scenes without public flow are left out.

There is no official split, so a fifth of the scenes, chosen by name, is for testing.
"""

import functools
import re
from pathlib import Path

from afn_jax.data.files.flow import read_flo
from afn_jax.data.source import Skipped
from afn_jax.data.sources.flow.sequence import (
    FlowDataset,
    FlowSequence,
    GroundTruth,
    choose_split,
    consecutive,
    true_flow,
)

_FRAME, _FLOW = re.compile(r"frame(\d+)"), re.compile(r"flow(\d+)")


def middlebury(root: str | Path, *, split: str = "train", num_frames: int = 2) -> FlowDataset:
    """Opens a split of Middlebury flow.

    Args:
        root: the folder with `other-data` and `other-gt-flow`.
        split: "train", "test" or "all".
        num_frames: frames per clip.

    Raises:
        ValueError: an argument is wrong, or the folder is not this dataset.
    """
    root = Path(root)
    for name in ("other-data", "other-gt-flow"):
        if not (root / name).is_dir():
            raise ValueError(
                f"root: there is no folder {str(root / name)!r}; give the folder that holds "
                "other-data and other-gt-flow (the scenes of eval-data have no ground truth)"
            )
    groups: dict[str, list[FlowSequence]] = {}
    skipped: list[Skipped] = []
    for scene in sorted(path for path in (root / "other-data").iterdir() if path.is_dir()):
        frames = _numbered(scene, _FRAME, ".png")
        flows = _numbered(root / "other-gt-flow" / scene.name, _FLOW, ".flo")
        truths = {number: functools.partial(_read_truth, path) for number, path in flows.items()}
        folder = scene.relative_to(root).as_posix()
        sequences, lacking = consecutive(folder, frames, truths)
        skipped += lacking
        if not flows:
            skipped.append(Skipped(str(scene), "no ground truth"))
        if sequences:
            groups[scene.name] = sequences
    if not groups:
        raise ValueError(
            f"root: no scene of {str(root)!r} has both other-gt-flow/SCENE/flow10.flo and its two "
            "frames other-data/SCENE/frame10.png and frame11.png"
        )
    chosen = choose_split(groups, split, "Middlebury")
    return FlowDataset(chosen, num_frames=num_frames, skipped=skipped)


def _read_truth(path: str) -> GroundTruth:
    return GroundTruth(*read_flo(path))


def _numbered(folder: Path, pattern: re.Pattern, suffix: str) -> dict[int, str]:
    found = {}
    for path in folder.glob(f"*{suffix}"):
        if match := pattern.fullmatch(path.stem):
            found[int(match[1])] = str(path)
    return found


SOURCE = true_flow(
    middlebury,
    "Middlebury: eight small scenes, exact flow, no actions",
    root="the folder with other-data and other-gt-flow",
)
