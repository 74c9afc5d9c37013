"""Command that turns videos into shards.

    afn-jax prepare OUTPUT --data SOURCE --data.root FOLDER

`python -m afn_jax.data.prepare ...` is the same.

Decodes each video of a source once, resizes its frames, and writes them as ArrayRecord shards, from
which clips are read several times faster. With --flow, the shards hold flow too. Train on them with
--data shards --data.root OUTPUT.
"""

import dataclasses
import sys
from collections.abc import Sequence
from typing import Annotated

import tyro

from afn_jax.any_bytes import print_any_name
from afn_jax.data.config import DataConfig, expand_data_option
from afn_jax.data.prepare.run import SplitReport, prepare
from afn_jax.data.prepare.share import share_of
from afn_jax.data.shards.flow_codec import FlowFormat
from afn_jax.data.shards.frame_codec import QUALITIES, Codec, FrameFormat
from afn_jax.data.shards.manifest import PreparedDataset, StoredFlow, describe_split
from afn_jax.data.source import Source, unused_of
from afn_jax.data.sources import create_source, list_sources, source_spec
from afn_jax.data.sources.identity import encodings_line, refuse_shared
from afn_jax.data.sources.unused import unused_line
from afn_jax.limits import Limits, check_limits

# Fields of `DataConfig` about cutting and reading clips. Shards hold whole videos.
_OF_CLIPS = (
    *("stride", "sampling", "num_segments", "crop", "crop_scales", "crop_distortion", "flip"),
    *("brighten", "gamma", "teacher", "num_threads", "num_workers", "prefetch", "stored_flow"),
)
_MOST_LISTED = 20  # skipped files to print; the shards list all of them


@dataclasses.dataclass(frozen=True)
class PrepareConfig:
    """Settings of the command."""

    output: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="OUTPUT")]
    """Folder for the shards."""
    data: DataConfig = DataConfig()
    splits: tuple[str, ...] = ("train", "test")
    """Splits to prepare."""
    codec: Codec = "jpeg"
    """Compression of the frames."""
    quality: Annotated[
        int | None, tyro.conf.arg(help_behavior_hint="(default: jpeg 95, h264 20, vp9 28)")
    ] = None
    (
        "Quality of the frames. jpeg: 1 (small) to 100 (best); h264: 51 (small) to 0 (best); vp9: "
        "63 to 0."
    )
    group: int = 16
    """Frames that are compressed and read together."""
    flow: str = "none"
    (
        "Flow to store: none; own (the source's); dis or tvl1 (estimated); or a pattern of .flo, "
        ".pfm or KITTI .png files such as '/flow/{name}/{frame:06d}.flo'. {name} is the video's "
        "path without its extension, {stem} the last part of it; {frame} is the first frame of "
        "the pair counted from 0, {frame1} counted from 1."
    )
    flow_stride: Annotated[int, Limits(1)] = 1
    """Distance in frames between the two frames of a pair."""
    flow_bound: float = 20.0
    """Largest stored displacement in pixels, per component."""
    flow_quality: int = FlowFormat.quality
    """JPEG quality of the flow, 1 to 100."""
    num_shards: Annotated[
        int | None, tyro.conf.arg(help_behavior_hint="(default: by the number of frames)")
    ] = None
    """Shards per split."""
    shard: Annotated[str, tyro.conf.arg(help_behavior_hint="(default: 1/1)")] = ""
    """Share of this run, as i/n: the i-th of n runs that share the work."""
    distributed: Annotated[
        str, tyro.conf.arg(metavar="auto|HOST:PORT", help_behavior_hint="(optional)")
    ] = ""
    (
        "The same with the options of python -m train: auto finds the share in a job of SLURM or "
        "Open MPI and on a TPU slice; otherwise give the next two. The address is not used: "
        "these runs exchange nothing."
    )
    num_processes: Annotated[int | None, tyro.conf.arg(help_behavior_hint="(optional)")] = None
    """Number of runs that share the work."""
    process_id: Annotated[int | None, tyro.conf.arg(help_behavior_hint="(optional)")] = None
    """Number of this run, from 0."""
    distributed_timeout: Annotated[int | None, tyro.conf.arg(help_behavior_hint="(optional)")] = (
        None
    )
    """Not used: these runs do not wait for each other."""
    workers: Annotated[
        int | None, Limits(1), tyro.conf.arg(help_behavior_hint="(default: one per core)")
    ] = None
    """Worker processes."""
    seed: int = 0
    """Seed of sources that generate their videos."""


def main(
    arguments: Sequence[str] | None = None, prog: str = "python -m afn_jax.data.prepare"
) -> int:
    """Runs the command and returns its exit code. `prog` is its name in the usage."""
    print_any_name()
    options = tyro.cli(
        PrepareConfig,
        prog=prog,
        description="Turns videos into shards, from which clips are read several times faster. An "
        "interrupted run continues with the same command.\n\n"
        f"Datasets, for --data NAME:\n{list_sources()}",
        args=expand_data_option(sys.argv[1:] if arguments is None else arguments),
    )
    try:
        part = share_of(
            options.shard, options.distributed, options.num_processes, options.process_id
        )
        sources, dataset = _describe(options)
        for name, split in dataset.splits.items():
            print(f"{name}: {split.num_videos} videos, {split.num_shards} shards")
        for name, source in sources.items():
            if line := encodings_line(source, name):
                print(f"warning: {line}")
        if line := unused_line(unused_of(*dataset.splits.values())):
            print(f"{options.data.root}: {line}")
        if dataset.flow is None and any(source[0].has_flow for source in sources.values()):
            print("the flow of these videos is not stored; --flow own stores it")
        reports = prepare(options.output, dataset, sources, part=part, workers=options.workers)
    except KeyboardInterrupt:
        print("\nstopped; run the same command again to continue", file=sys.stderr)
        return 130
    except (ValueError, RuntimeError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"error: {error}; fix this and run the same command again", file=sys.stderr)
        return 1
    for name, split in reports.items():
        _print_report(name, split)
    if any(split.missing for split in reports.values()):
        print("the dataset will be complete when the runs of the other shares have finished")
    else:
        print(f"train on it with: --data shards --data.root {options.output}")
    return 0


def _describe(options: PrepareConfig) -> tuple[dict[str, Source], PreparedDataset]:
    """Opens the sources and describes the dataset to make.

    Raises:
        ValueError: a setting is wrong, or the splits have different classes.
    """
    config, default = options.data, DataConfig()
    for name in _OF_CLIPS:
        if getattr(config, name) != getattr(default, name):
            raise ValueError(
                f"data.{name}: got {getattr(config, name)}, but shards hold whole videos; leave "
                "it out here and give it to python -m train"
            )
    check_limits(options)
    quality = QUALITIES[options.codec][0] if options.quality is None else options.quality
    frames = FrameFormat(options.codec, quality, options.group)
    flow = None
    if options.flow != "none":
        form = FlowFormat(options.flow_bound, options.flow_quality)
        flow = StoredFlow(options.flow, options.flow_stride, form)
    sources = {name: create_source(config, name, options.seed) for name in options.splits}
    class_names = {tuple(opened.class_names) for opened in sources.values()}
    if len(class_names) > 1:
        raise ValueError(
            f"splits: {', '.join(sources)} have different classes; prepare each in its own folder"
        )
    if {"train", "test"} <= set(sources) and not source_spec(config.source).generated:
        refuse_shared(sources["train"], sources["test"])
    splits = {name: describe_split(opened, options.num_shards) for name, opened in sources.items()}
    # Only what differs from the defaults, so that settings can be added to `DataConfig` later.
    values = {field.name: getattr(config, field.name) for field in dataclasses.fields(config)}
    source = {name: value for name, value in values.items() if value != getattr(default, name)}
    source |= {"source": config.source, "short_side": config.short_side, "seed": options.seed}
    return sources, PreparedDataset(class_names.pop(), frames, flow, splits, source)


def _print_report(name: str, split: SplitReport) -> None:
    print(f"{name}: {split.videos} videos, {split.frames} frames, {split.size / 1e6:.1f} MB")
    error = split.flow_error
    if error.known:
        print(
            f"{name}: the stored flow differs from the float flow by "
            f"{error.total / error.known:.3f} px on average; "
            f"{error.beyond / (error.known + error.beyond):.2%} of it is beyond the bound"
        )
    if split.skipped:
        print(f"{name}: {len(split.skipped)} files skipped")
        for skip in split.skipped[:_MOST_LISTED]:
            print(f"  {skip.path}: {skip.reason}")
        if len(split.skipped) > _MOST_LISTED:
            print(f"  and {len(split.skipped) - _MOST_LISTED} more")
    if split.missing:
        print(f"{name}: {len(split.missing)} shards are left to other runs")


if __name__ == "__main__":
    sys.exit(main())
