"""Sources of labelled videos by name. A new one is one file and one line here."""

import functools
import logging
from collections.abc import Callable
from pathlib import Path

from afn_jax.data.config import DataConfig
from afn_jax.data.shards.manifest import read_dataset
from afn_jax.data.source import Source
from afn_jax.data.sources.flow.chairs import flying_chairs
from afn_jax.data.sources.flow.kitti import kitti
from afn_jax.data.sources.flow.middlebury import middlebury
from afn_jax.data.sources.flow.sintel import sintel
from afn_jax.data.sources.index_cache import default_folder
from afn_jax.data.sources.lists.activitynet import read_activitynet
from afn_jax.data.sources.lists.csv_list import read_csv
from afn_jax.data.sources.lists.hmdb51 import read_hmdb51
from afn_jax.data.sources.lists.kinetics import read_kinetics
from afn_jax.data.sources.lists.something_something import read_something_something
from afn_jax.data.sources.lists.thumos14 import read_thumos14
from afn_jax.data.sources.lists.video_folder import read_ucf101, read_video_folder
from afn_jax.data.sources.lists.video_list import VideoList, choose_classes
from afn_jax.data.sources.shards import Shards
from afn_jax.data.sources.synthetic_motion import SyntheticMotion
from afn_jax.data.sources.tfds import TfdsVideos
from afn_jax.data.sources.video_files import VideoFiles
from afn_jax.data.transforms.views import segments_of


def create_source(config: DataConfig, split: str, seed: int) -> Source:
    """The source that `config` names, its "train" or "test" split.

    Raises:
        ValueError: unknown kind, no usable videos, or all of them shorter than a clip.
    """
    if config.source not in SOURCES:
        raise ValueError(f"data.source: got {config.source!r}, allowed are {', '.join(SOURCES)}.")
    source = SOURCES[config.source](config, split, seed)
    # Synthetic videos are as long as asked for, and the lengths of these records are not stored.
    if config.source in ("synthetic-motion", "tfds"):
        return source
    longest = max(source[i].num_frames for i in range(len(source)))
    pieces, length = segments_of(config)
    span = (length - 1) * config.stride + 1
    if span > longest:
        where = f" in {config.root}" if config.root else ""
        fitting = pieces * max(1, (longest - 1) // config.stride + 1)
        raise ValueError(
            f"data.num_frames: a clip of {length} frames, stride {config.stride}, spans {span} "
            f"frames, but the longest {split} video{where} has {longest}. Choose "
            f"--data.num_frames {fitting} or less, or a smaller --data.stride."
        )
    return source


def _synthetic_motion(config: DataConfig, split: str, seed: int) -> Source:
    count = config.train_videos if split == "train" else config.test_videos
    # A video is as long as a clip, so each of its frames is rendered when needed, once.
    length = (config.num_frames - 1) * config.stride + 1
    return SyntheticMotion(
        count, size=tuple(config.size), num_frames=length, seed=seed, split=split
    )


def _files(
    read: Callable[[Path, str, Path | None, int], VideoList],
) -> Callable[[DataConfig, str, int], Source]:
    """A source of the files that `read` lists; see `read_video_folder` for its arguments."""

    def create(config: DataConfig, split: str, seed: int) -> Source:
        annotations = Path(config.annotations).expanduser() if config.annotations else None
        root = Path(_root(config, "the folder of the videos")).expanduser()
        videos = read(root, split, annotations, config.list_number)
        if config.classes:
            videos = choose_classes(videos, config.classes)
        cache = Path(config.index_cache).expanduser() if config.index_cache else default_folder()
        return VideoFiles(
            root,
            videos,
            short_side=config.short_side,
            flow_bound=config.flow_bound if config.stored_flow else 0.0,
            cache_folder=None if config.index_cache == "none" else cache,
        )

    return create


def _tfds(config: DataConfig, split: str, seed: int) -> Source:
    name = config.tfds_name
    if name == "ucf101":  # one config a split
        name = f"ucf101/ucf101_{config.list_number}"
    for field in ("classes", "annotations"):
        if getattr(config, field):
            raise ValueError(f"data.{field}: the tfds source has no such choice. Leave it out.")
    return TfdsVideos(name, split=split, data_dir=config.root, short_side=config.short_side)


def _flying_chairs(config: DataConfig, split: str, seed: int) -> Source:
    root = _root(config, "FlyingChairs_release")
    lists = config.annotations or None
    return flying_chairs(root, split=split, list_file=lists, num_frames=config.num_frames)


def _sintel(config: DataConfig, split: str, seed: int) -> Source:
    root = _root(config, "the unpacked MPI-Sintel-complete")
    render = config.sintel_pass
    return sintel(root, split=split, render=render, num_frames=config.num_frames)


def _kitti(config: DataConfig, split: str, seed: int) -> Source:
    root = _root(config, "the unpacked KITTI flow benchmark")
    year = int(config.source.removeprefix("kitti"))
    return kitti(root, year=year, split=split, num_frames=config.num_frames)


def _middlebury(config: DataConfig, split: str, seed: int) -> Source:
    root = _root(config, "the folder with other-data and other-gt-flow")
    return middlebury(root, split=split, num_frames=config.num_frames)


def _shards(config: DataConfig, split: str, seed: int) -> Source:
    root = _root(config, "the folder that python -m afn_jax.data.prepare made")
    if config.annotations:
        raise ValueError("data.annotations: shards hold the list they were made of. Leave it out.")
    dataset = read_dataset(root)
    prepared = dataset.source
    for field in ("list_number", "classes"):
        stored, wanted = prepared.get(field, getattr(DataConfig, field)), getattr(config, field)
        stored = tuple(stored) if isinstance(stored, list) else stored
        if wanted != stored and wanted != ():
            raise ValueError(
                f"data.{field}: got {wanted!r}, but {root} was prepared with {stored!r}. Use that, "
                "or prepare the videos again into another folder."
            )
    source = Shards(root, split=split, with_flow=config.stored_flow)
    if config.stored_flow and source.flow_stride not in (0, config.stride):
        raise ValueError(
            f"data.stride: got {config.stride}, but the flow in {root} leads {source.flow_stride} "
            f"frames ahead. Use --data.stride {source.flow_stride}, or leave the stored flow out "
            "with --data.no-stored-flow."
        )
    estimated = config.stored_flow and dataset.flow is not None and dataset.flow.origin != "own"
    if split == "train" and estimated and config.brighten != "none":
        logging.getLogger(__name__).warning(
            "the flow in %s was estimated from frames as they are, and data.brighten is %r; dark "
            "frames have better flow brightened: --data.no-stored-flow estimates it while training",
            *(root, config.brighten),
        )
    if split == "train" and min(source[0].size) < min(config.size):
        logging.getLogger(__name__).warning(
            "the frames in %s have a short side of %d pixels, from which clips of %d x %d are "
            "enlarged; prepare them with --data.short-side %d",
            *(root, min(source[0].size), *config.size, config.short_side),
        )
    return source


def _root(config: DataConfig, what: str) -> str:
    if not config.root:
        raise ValueError(
            f"data.root is not set: the {config.source} source needs {what}. "
            "Add --data.root FOLDER."
        )
    return config.root


SOURCES: dict[str, Callable[[DataConfig, str, int], Source]] = {
    "synthetic-motion": _synthetic_motion,
    "video-folder": _files(read_video_folder),
    "frame-folder": _files(functools.partial(read_video_folder, frames=True)),
    "ucf101": _files(read_ucf101),
    "hmdb51": _files(read_hmdb51),
    "kinetics": _files(read_kinetics),
    "something-something": _files(read_something_something),
    "activitynet": _files(read_activitynet),
    "thumos14": _files(read_thumos14),
    "csv": _files(read_csv),
    "tfds": _tfds,
    "flying-chairs": _flying_chairs,
    "sintel": _sintel,
    "kitti2012": _kitti,
    "kitti2015": _kitti,
    "middlebury": _middlebury,
    "shards": _shards,
}
