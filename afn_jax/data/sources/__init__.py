"""Sources of labelled videos by name. A new one is one file and one line here."""

from collections.abc import Callable

from afn_jax.data.clip import Source
from afn_jax.data.config import DataConfig
from afn_jax.data.sources.synthetic_motion import SyntheticMotion
from afn_jax.data.sources.video_folder import VideoFolder


def create_source(config: DataConfig, split: str, seed: int) -> Source:
    """The source that `config` names, its "train" or "test" split.

    Raises:
        ValueError: unknown kind, no usable videos, or all of them shorter than a clip.
    """
    if config.source not in SOURCES:
        raise ValueError(f"data.source: got {config.source!r}, allowed are {', '.join(SOURCES)}.")
    source = SOURCES[config.source](config, split, seed)
    if config.source == "synthetic-motion":  # as many and as long as asked for
        return source
    longest = max(source[i].num_frames for i in range(len(source)))
    span = (config.num_frames - 1) * config.stride + 1
    if span > longest:
        where = f" in {config.root}" if config.root else ""
        raise ValueError(
            f"data.num_frames: a clip of {config.num_frames} frames, stride {config.stride}, spans "
            f"{span} frames, but the longest {split} video{where} has {longest}. "
            f"Choose --data.num_frames {max(1, (longest - 1) // config.stride + 1)} or less, or a "
            "smaller --data.stride."
        )
    return source


def _synthetic_motion(config: DataConfig, split: str, seed: int) -> Source:
    count = config.train_videos if split == "train" else config.test_videos
    # A video is as long as a clip, so each of its frames is rendered when needed, once.
    length = (config.num_frames - 1) * config.stride + 1
    return SyntheticMotion(
        count, size=tuple(config.size), num_frames=length, seed=seed, split=split
    )


def _video_folder(config: DataConfig, split: str, seed: int) -> Source:
    return VideoFolder(
        _root(config, "the folder with one sub-folder of videos a class"),
        split=split,
        list_number=config.list_number,
        short_side=config.short_side,
    )


def _root(config: DataConfig, what: str) -> str:
    if not config.root:
        raise ValueError(
            f"data.root is not set: the {config.source} source needs {what}. "
            "Add --data.root FOLDER."
        )
    return config.root


SOURCES: dict[str, Callable[[DataConfig, str, int], Source]] = {
    "synthetic-motion": _synthetic_motion,
    "video-folder": _video_folder,
}
