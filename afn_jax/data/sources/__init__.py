"""The datasets by name. A new one is one file and one line in `SOURCES`."""

import functools

from afn_jax.data.config import DataConfig
from afn_jax.data.source import Source
from afn_jax.data.sources import shards, synthetic_motion, synthetic_untrimmed, tfds
from afn_jax.data.sources.flow import chairs, kitti, middlebury, sintel
from afn_jax.data.sources.lists.activitynet import read_activitynet
from afn_jax.data.sources.lists.csv_list import is_csv, read_csv
from afn_jax.data.sources.lists.hmdb51 import has_hmdb51_lists, read_hmdb51
from afn_jax.data.sources.lists.kinetics import read_kinetics
from afn_jax.data.sources.lists.something_something import read_something_something
from afn_jax.data.sources.lists.thumos14 import read_thumos14
from afn_jax.data.sources.lists.ucf101 import has_ucf101_lists, read_ucf101
from afn_jax.data.sources.lists.video_folder import read_video_folder
from afn_jax.data.sources.spec import SourceSpec
from afn_jax.data.sources.video_files import listed_videos
from afn_jax.data.transforms.views import segments_of
from afn_jax.limits import check_limits
from afn_jax.near_names import unknown_name

SOURCES: dict[str, SourceSpec] = {
    "synthetic-motion": synthetic_motion.SOURCE,
    "synthetic-untrimmed": synthetic_untrimmed.SOURCE,
    "video-folder": listed_videos(
        read_video_folder,
        "your own videos, one subfolder per class",
        root="the folder of classes",
        split_by="lists in UCF101's format in or beside it, otherwise split by name",
    ),
    "frame-folder": listed_videos(
        functools.partial(read_video_folder, frames=True),
        "the same with folders of numbered pictures as videos",
        root="the folder of classes",
        split_by="as `video-folder`; flow images lie beside the frames or in separate folders",
    ),
    "ucf101": listed_videos(
        read_ucf101,
        "UCF101: 101 actions, three official splits",
        split_by="`ucfTrainTestlist`; `--data.list-number` 1, 2 or 3",
        recognize=has_ucf101_lists,
    ),
    "hmdb51": listed_videos(
        read_hmdb51,
        "HMDB51: 51 actions, three official splits",
        split_by="`testTrainMulti_7030_splits`; `--data.list-number` 1, 2 or 3",
        recognize=has_hmdb51_lists,
    ),
    "kinetics": listed_videos(
        read_kinetics,
        "Kinetics-400, -600 or -700",
        split_by="`train.csv`, `val.csv`; the validation videos are the test split",
    ),
    "something-something": listed_videos(
        read_something_something,
        "Something-Something V2: 174 actions",
        split_by="its JSON files; add `--data.no-flip`",
    ),
    "activitynet": listed_videos(
        read_activitynet,
        "ActivityNet 1.2 or 1.3, trimmed to segments",
        split_by="segments from the official annotations",
    ),
    "thumos14": listed_videos(
        read_thumos14,
        "THUMOS14: 20 actions, trimmed to segments",
        split_by="segments from the official annotations",
    ),
    "csv": listed_videos(
        read_csv,
        "your own CSV list: path,label[,start,end][,split]",
        root="the folder that the paths of the list start from",
        split_by="the file that `--data.annotations` names",
        recognize=is_csv,
    ),
    "tfds": tfds.SOURCE,
    "flying-chairs": chairs.SOURCE,
    "sintel": sintel.SOURCE,
    "kitti2012": kitti.KITTI2012,
    "kitti2015": kitti.KITTI2015,
    "middlebury": middlebury.SOURCE,
    "shards": shards.SOURCE,
}


def source_spec(name: str) -> SourceSpec:
    """Returns what `SOURCES` has under this name.

    Raises:
        ValueError: unknown name; the message suggests near ones.
    """
    if name not in SOURCES:
        raise ValueError(unknown_name("data.source", name, SOURCES))
    return SOURCES[name]


def list_sources() -> str:
    """Returns the names with one line about each, for help texts."""
    width = max(map(len, SOURCES))
    return "\n".join(f"  {name:<{width}}  {spec.about}" for name, spec in SOURCES.items())


def create_source(config: DataConfig, split: str, seed: int) -> Source:
    """Opens the "train" or "test" split of the dataset that `config` names.

    Raises:
        ValueError: a wrong setting or name, no usable videos, or all of them shorter than a clip.
    """
    check_limits(config, "data.")
    spec = source_spec(config.source)
    if spec.root and not config.root:
        raise ValueError(
            f"data.root is not set: {config.source} needs {spec.root}. Add --data.root FOLDER."
        )
    source = spec.create(config, split, seed)
    if spec.knows_lengths:
        _check_length(config, split, source)
    return source


def _check_length(config: DataConfig, split: str, source: Source) -> None:
    """Raises ValueError if no video is as long as a clip."""
    longest = max(source[i].num_frames for i in range(len(source)))
    pieces, length = segments_of(config)
    span = (length - 1) * config.stride + 1
    if span > longest:
        where = f" in {config.root}" if config.root else ""
        fitting = pieces * max(1, (longest - 1) // config.stride + 1)
        raise ValueError(
            f"data.num_frames: a clip of {length} frames, stride {config.stride}, spans {span} "
            f"frames, but the longest {split} video{where} has {longest}. Choose "
            f"--data.num-frames {fitting} or less, or a smaller --data.stride."
        )
