"""Tiny folders of videos, one subfolder per class, and runs that are trained on them."""

import dataclasses
import hashlib
import io
import json
from pathlib import Path

import av
import numpy as np
from rich.console import Console

from tests.small_run import small_config
from train.config import ObjectiveConfig, TrainConfig
from train.loop import train


def write_class(folder: Path, numbers: range = range(5), value: int = 0) -> None:
    """Writes videos `0.avi`, `1.avi`, ... of 6 gray frames; names are unique within a class."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        with av.open(str(folder / f"{number}.avi"), "w") as container:
            stream = container.add_stream("mpeg4", rate=25)
            stream.height, stream.width, stream.pix_fmt = 32, 32, "yuv420p"
            for t in range(6):
                image = np.full((32, 32, 3), value + 20 * number + 5 * t, np.uint8)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
            container.mux(stream.encode(None))


def write_classes(root: Path, *names: str) -> Path:
    """Writes a folder of five videos per class: four for training, one for testing."""
    for number, name in enumerate(names):
        write_class(root / name, value=40 * number)
    return root


def folder_config(run_dir: Path, root: Path, **changes) -> TrainConfig:
    """Returns the settings of a run of a few steps that learns the actions of such videos."""
    data = {name: changes.pop(name) for name in ("classes", "annotations") if name in changes}
    fields = {"objective": ObjectiveConfig(flow="none"), "max_devices": 1} | changes
    config = small_config(run_dir, **fields)
    data = dataclasses.replace(
        config.data,
        source="video-folder",
        root=str(root),
        num_frames=2,
        short_side=20,
        teacher="none" if config.objective.flow == "none" else "dis",
        index_cache="none",
        **data,
    )
    return dataclasses.replace(config, data=data)


def train_on(run_dir: Path, root: Path, **changes) -> tuple:
    """Trains such a run, or resumes it; returns the result and what was printed."""
    output = io.StringIO()
    result = train(folder_config(run_dir, root, **changes), Console(file=output, width=200))
    return result, output.getvalue()


def make_sizes_differ(root: Path) -> None:
    """Appends a number of bytes to each video, which readers ignore, so that no sizes are equal."""
    for number, path in enumerate(sorted(root.glob("*/*.avi"))):
        path.write_bytes(path.read_bytes() + bytes(number))


def forget(run_dir: Path) -> None:
    """Makes a run one of an older version, which recorded no classes and no videos."""
    for folder in (run_dir / "data", *(run_dir / "checkpoints").glob("*/record")):
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()


def make_lists_old(run_dir: Path) -> None:
    """Makes the record of a run one of an older version, without sizes of the videos."""
    for path in run_dir.rglob("*"):
        if path.is_file() and '"class_names"' in (text := path.read_text(errors="replace")):
            record = json.loads(text)
            for split in ("train", "test"):
                del record[split]["data"]
            path.write_text(json.dumps(record))
    for split, videos in listing(run_dir).items():
        text = "".join(f"{label}\t{name}\n" for name, label in videos)
        digest = hashlib.sha256(text.encode()).hexdigest()
        (run_dir / "data" / f"{split}-{digest[:12]}.txt").write_text(text)
        for path in (run_dir / "data").glob(f"{split}-*-*.txt"):
            path.unlink()


def swap_labels(root: Path) -> str:
    """Writes lists that exchange the labels of "jump" and "run"; the videos stay the same."""
    lists = root.parent / "swapped"  # not a name that is searched for
    lists.mkdir()
    (lists / "classInd.txt").write_text("1 run\n2 jump\n")
    write_lists(lists, test=4)
    return str(lists)


def write_lists(lists: Path, test: int) -> None:
    """Writes lists of five videos of "jump" and of "run", of which one number is for testing."""
    for split in ("train", "test"):
        numbers = [n for n in range(5) if (n == test) == (split == "test")]
        text = "".join(f"{name}/{n}.avi\n" for name in ("run", "jump") for n in numbers)
        (lists / f"{split}list01.txt").write_text(text)


def listing(run_dir: Path) -> dict[str, list[tuple[str, int]]]:
    """Returns the lists in a run folder by split, read without the code under test."""
    found = {}
    for path in (run_dir / "data").glob("t*-*.txt"):
        lines = [line.split("\t") for line in path.read_text().splitlines()]
        rows = lines[lines[0][0].startswith("#") :]
        found[path.name.partition("-")[0]] = [(row[-1], int(row[0])) for row in rows]
    return found
