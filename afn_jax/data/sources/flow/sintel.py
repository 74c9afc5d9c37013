"""MPI Sintel (Butler et al. 2012): 23 public scenes of 20 to 50 frames of an animated film.

`training/` holds `clean/SCENE/frame_0001.png` and `final/...`, the same frames without and with
blur and fog; `flow/SCENE/frame_0001.flo`, the flow to the next frame; and the masks `occlusions/`
(pixels that the next frame does not show) and `invalid/` (pixels whose flow is meaningless).

There is no official split, so a fifth of the scenes, chosen by name, is for testing.
"""

import functools
import re
from pathlib import Path

from afn_jax.data.files.flow import read_flo
from afn_jax.data.files.image import read_mask
from afn_jax.data.source import Skipped
from afn_jax.data.sources.flow.sequence import (
    FlowDataset,
    FlowSequence,
    GroundTruth,
    choose_split,
    consecutive,
    true_flow,
)

_FRAME = re.compile(r"frame_(\d+)")


def sintel(
    root: str | Path,
    *,
    split: str = "train",
    render: str = "clean",
    num_frames: int = 2,
    count_invalid: bool = False,
) -> FlowDataset:
    """Opens a split of MPI Sintel; scenes are cut where a frame is missing.

    Args:
        root: the unpacked `MPI-Sintel-complete`, or its `training` folder.
        split: "train", "test" (split by scene) or "all".
        render: the pass, "clean" or "final".
        num_frames: frames per clip.
        count_invalid: count flow that is marked as invalid, as many published evaluations do.

    Raises:
        ValueError: an argument is wrong, or the folder is not this dataset.
    """
    root = Path(root)
    training = root if (root / "flow").is_dir() else root / "training"
    for name in ("flow", render):
        if not (training / name).is_dir():
            only_test = " (the folder test has no ground truth)" if _is_test(root) else ""
            raise ValueError(
                f"root: there is no folder {str(training / name)!r}{only_test}; give the unpacked "
                "MPI-Sintel-complete, with training/flow and training/" + render
            )
    groups: dict[str, list[FlowSequence]] = {}
    skipped: list[Skipped] = []
    for scene in sorted(folder.name for folder in (training / "flow").iterdir() if folder.is_dir()):
        frames = _numbered(training / render / scene, ".png")
        truths = {
            number: functools.partial(
                read_sintel_truth,
                path,
                occlusions=_mask(training / "occlusions" / scene, number),
                invalid=None if count_invalid else _mask(training / "invalid" / scene, number),
            )
            for number, path in _numbered(training / "flow" / scene, ".flo").items()
        }
        folder = (training / render / scene).relative_to(root).as_posix()
        sequences, lacking = consecutive(folder, frames, truths)
        skipped += lacking
        if sequences:
            groups[scene] = sequences
    if not groups:
        raise ValueError(
            f"root: no scene of {str(training)!r} has both flow/SCENE/frame_0001.flo and its two "
            f"frames {render}/SCENE/frame_0001.png and frame_0002.png"
        )
    chosen = choose_split(groups, split, "Sintel")
    return FlowDataset(chosen, num_frames=num_frames, skipped=skipped)


def read_sintel_truth(
    flow: str, *, occlusions: str | None = None, invalid: str | None = None
) -> GroundTruth:
    """Reads a flow and its masks, which are pictures that are white where they apply."""
    truth, known = read_flo(flow)
    if invalid is not None:
        known = known & ~_mask_of_size(invalid, known.shape)
    occluded = None if occlusions is None else _mask_of_size(occlusions, known.shape)
    return GroundTruth(truth, known, occluded)


def _mask_of_size(path: str, shape: tuple[int, ...]):
    mask = read_mask(path)
    if mask.shape != shape:
        raise ValueError(f"{path}: (height, width) is {mask.shape}, that of the flow {shape}")
    return mask


def _is_test(root: Path) -> bool:
    return root.name == "test" or (root / "test").is_dir()


def _numbered(folder: Path, suffix: str) -> dict[int, str]:
    found = {}
    for path in folder.glob(f"*{suffix}"):
        if match := _FRAME.fullmatch(path.stem):
            found[int(match[1])] = str(path)
    return found


def _mask(folder: Path, number: int) -> str | None:
    path = folder / f"frame_{number:04d}.png"
    return str(path) if path.is_file() else None


SOURCE = true_flow(
    sintel,
    "MPI Sintel: 23 animated scenes, exact flow, no actions",
    root="the unpacked MPI-Sintel-complete",
    options=("render", "count_invalid"),
)
