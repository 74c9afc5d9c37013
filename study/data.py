"""Datasets of the study: embedded motion, or a folder of videos that are split by their groups."""

import dataclasses
from pathlib import Path

from afn_jax.data.sources.lists.groups import ucf_group
from train.config import TrainConfig
from train.flow_losses import FLOW_LOSSES

# Factor of the learning rate. Found with one sequence of UT-Interaction left out, seed 0.
VGG_ON_VIDEOS = 0.3


@dataclasses.dataclass(frozen=True)
class StudyData:
    """A dataset of the study.

    Attributes:
        name: the dataset, and the folder of its runs.
        root: folder of the videos; "" for built-in data.
        lists: folder of the split lists, one per fold.
        folds: numbers of the lists.
        dark: the videos need to be brightened.
    """

    name: str
    root: str = ""
    lists: str = ""
    folds: tuple[int, ...] = (1,)
    dark: bool = False

    def adapt(self, config: TrainConfig, fold: int) -> TrainConfig:
        """Adapts the settings of a toy scale to this data.

        On videos, training takes a third of the steps, which is still dozens of epochs of these
        few videos; the warm-up keeps its length. What starts to learn late keeps all of its
        steps: flow without labels, and VGG16, which has no normalization. VGG16 also gets a lower
        learning rate: at that of the toy scale it falls to chance during the warm-up.
        """
        if not self.root:
            return config
        supervised = FLOW_LOSSES[config.objective.flow].needs_target
        data = dataclasses.replace(
            config.data,
            source="video-folder",
            root=self.root,
            annotations=self.lists,
            list_number=fold,
            size=(48, 48),
            short_side=56,
            stride=3 if config.data.num_frames > 1 else 1,
            crop_scales=(1.0, 0.875, 0.75),
            flip=True,
            brighten="gamma" if self.dark else "none",
            teacher="dis" if supervised else "none",
            num_threads=2,
        )
        late = config.recipe == "hidden-two-stream" or (
            config.objective.flow == "uf-tsn" and not config.objective.action
        )
        steps = config.steps if late else config.steps // 3
        config = dataclasses.replace(config, data=data, steps=steps, test_clips=5)
        if config.recipe == "hidden-two-stream" and config.objective.action:
            rate = VGG_ON_VIDEOS * config.optim.learning_rate
            config = dataclasses.replace(
                config, optim=dataclasses.replace(config.optim, learning_rate=rate)
            )
        return config


def open_data(name: str, root: str, folder: Path) -> StudyData:
    """Opens a dataset of the study.

    Args:
        name: "synthetic-motion", "arid6" (which has its own split), or a name for a folder of
            videos `v_Class_gNN_cNN`, where each fold leaves out one group NN.
        root: folder of the videos.
        folder: folder of the study, where the lists of the folds are written.

    Raises:
        ValueError: the folder does not exist, or it has fewer than two groups.
    """
    if name == "synthetic-motion":
        return StudyData(name)
    if not root or not Path(root).is_dir():
        raise ValueError(f"root: {root!r} is not a folder. Give the folder of {name}'s videos.")
    if name == "arid6":
        return StudyData(name, root, dark=True)
    lists = folder / name / "lists"
    return StudyData(name, root, str(lists), leave_one_group_out(Path(root), lists))


def leave_one_group_out(root: Path, lists: Path) -> tuple[int, ...]:
    """Writes `trainlistNN.txt` and `testlistNN.txt` for each group, which is the test set.

    Returns:
        The numbers NN, from 1, in the order of the groups.

    Raises:
        ValueError: fewer than two groups.
    """
    videos = sorted(
        path.relative_to(root).as_posix()
        for path in root.rglob("*")
        if path.is_file() and ucf_group(path.name)
    )
    groups = sorted({ucf_group(name) for name in videos})
    if len(groups) < 2:
        raise ValueError(
            f"root: {str(root)!r} has videos of {len(groups)} groups, but leaving one out needs "
            "two or more. The group is g01 in names such as v_Class_g01_c02.avi."
        )
    names = sorted({name.split("/")[0] for name in videos})
    lists.mkdir(parents=True, exist_ok=True)
    class_file = lists / "classInd.txt"
    class_file.write_text("".join(f"{i} {name}\n" for i, name in enumerate(names, start=1)))
    for number, group in enumerate(groups, start=1):
        for split in ("train", "test"):
            chosen = [n for n in videos if (ucf_group(n) == group) == (split == "test")]
            rows = "".join(f"{name} {names.index(name.split('/')[0]) + 1}\n" for name in chosen)
            (lists / f"{split}list{number:02d}.txt").write_text(rows)
    return tuple(range(1, len(groups) + 1))
