"""`python -m afn_jax.data.prepare OUTPUT --data SOURCE --data.root FOLDER`: videos into shards.

Decodes each video of a source once, shrinks its frames, and writes them as ArrayRecord shards from
which clips are read several times faster; with --flow, flow pseudo-labels too. Train from them with
--data shards --data.root OUTPUT.
"""

import argparse
import dataclasses
import re
import sys
import types
import typing
from collections.abc import Sequence

from afn_jax.data.config import DataConfig
from afn_jax.data.prepare.run import SplitReport, prepare
from afn_jax.data.shards.flow_codec import FlowFormat
from afn_jax.data.shards.frame_codec import QUALITIES, FrameFormat
from afn_jax.data.shards.manifest import PreparedDataset, StoredFlow, describe_split
from afn_jax.data.source import Source
from afn_jax.data.sources import create_source

# Fields of `DataConfig` that say how clips are cut and read, not where videos come from.
_OF_CLIPS = {
    *("stride", "sampling", "num_segments", "crop", "crop_scales", "crop_distortion", "flip"),
    *("brighten", "gamma", "teacher", "num_threads", "num_workers", "prefetch", "stored_flow"),
}
_MOST_LISTED = 20  # skipped files that are printed; the shards name all of them


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    options = _parser().parse_args(arguments)
    try:
        sources, dataset = _describe(options)
        for name, split in dataset.splits.items():
            print(f"{name}: {split.num_videos} videos for {split.num_shards} shards")
        if dataset.flow is None and any(source[0].has_flow for source in sources.values()):
            print("the flow that these videos have is left out; --flow own stores it")
        reports = prepare(
            options.output, dataset, sources, part=options.shard, workers=options.workers
        )
    except KeyboardInterrupt:
        print("\nstopped; the same command goes on", file=sys.stderr)
        return 130
    except (ValueError, RuntimeError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"error: {error}; when that is mended, the same command goes on", file=sys.stderr)
        return 1
    for name, split in reports.items():
        _print_report(name, split)
    if any(split.missing for split in reports.values()):
        print("the dataset is complete when the other runs of --shard are through")
    else:
        print(f"train from it with: --data shards --data.root {options.output}")
    return 0


def _describe(options: argparse.Namespace) -> tuple[dict[str, Source], PreparedDataset]:
    """Opens the sources, and says what is to be made of them."""
    values = vars(options)
    source = {name[5:]: value for name, value in values.items() if name.startswith("data.")}
    quality = QUALITIES.get(options.codec, (0,))[0] if options.quality is None else options.quality
    frames = FrameFormat(options.codec, quality, options.group)
    flow = None
    if options.flow != "none":
        form = FlowFormat(options.flow_bound, options.flow_quality)
        flow = StoredFlow(options.flow, options.flow_stride, form)
    config = DataConfig(**source)
    sources = {name: create_source(config, name, options.seed) for name in options.splits}
    class_names = {tuple(opened.class_names) for opened in sources.values()}
    if len(class_names) > 1:
        raise ValueError(
            f"splits: {', '.join(sources)} have different classes; prepare each in its own folder"
        )
    splits = {name: describe_split(opened, options.num_shards) for name, opened in sources.items()}
    # What differs from the default, so that settings may be added to `DataConfig` later.
    changed = {name: value for name, value in source.items() if value != getattr(DataConfig, name)}
    changed |= {"source": config.source, "short_side": config.short_side, "seed": options.seed}
    return sources, PreparedDataset(class_names.pop(), frames, flow, splits, changed)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m afn_jax.data.prepare",
        allow_abbrev=False,
        description="Turns videos into shards from which clips are read several times faster. An "
        "interrupted run goes on with the same command.",
        epilog="The --data options are those of python -m train, which explains them.",
    )
    add = parser.add_argument
    add("output", help="folder for the shards")
    add("--splits", nargs="+", default=["train", "test"], metavar="NAME", help="train and test")
    quality = ", ".join(
        f"{codec} {default} (from {worst}, small, to {best}, exact)"
        for codec, (default, best, worst) in QUALITIES.items()
    )
    add("--codec", choices=list(QUALITIES), default="jpeg", help="of the frames (jpeg)")
    add("--quality", type=int, help=f"of the frames: {quality}")
    add("--group", type=int, default=16, help="frames that are read together (16)")
    add(
        "--flow",
        default="none",
        metavar="none|own|dis|tvl1|PATTERN",
        help="flow to store: none (default), the source's own, what a teacher estimates, or "
        ".flo, .pfm or KITTI .png files: '/flow/{name}/{frame:06d}.flo', with {name} the video "
        "without its extension or {stem} its last part, and {frame} the first frame of the pair "
        "from 0 or {frame1} from 1",
    )
    add("--flow-stride", type=int, default=1, help="frames from one to the other of a pair (1)")
    add("--flow-bound", type=float, default=20.0, help="px, the largest motion stored (20)")
    add("--flow-quality", type=int, default=FlowFormat.quality, help="1 to 100 (%(default)s)")
    add("--num-shards", type=int, help="of each split; default: by the number of frames")
    add("--shard", type=_part, default=(1, 1), metavar="i/n", help="share of this run, of n runs")
    add("--workers", type=int, help="processes; default: as many as cores")
    add("--seed", type=int, default=0, help="of sources that draw random numbers (0)")
    types_of = typing.get_type_hints(DataConfig)
    for field in dataclasses.fields(DataConfig):
        if field.name not in _OF_CLIPS:
            names = [f"--data.{field.name.replace('_', '-')}"]
            names += ["--data"] if field.name == "source" else []
            add(
                *names,
                dest=f"data.{field.name}",
                default=field.default,
                **_argument(types_of[field.name]),
            )
    return parser


def _argument(kind: typing.Any) -> dict[str, typing.Any]:
    """How argparse reads a field of that type."""
    arguments = typing.get_args(kind)
    if typing.get_origin(kind) is typing.Literal:
        return {"choices": arguments, "metavar": "NAME"}
    if typing.get_origin(kind) in (types.UnionType, typing.Union):  # X | None
        return _argument(next(a for a in arguments if a is not types.NoneType))
    if typing.get_origin(kind) is tuple:
        nargs = "+" if arguments[-1] is Ellipsis else len(arguments)
        return {"type": arguments[0], "nargs": nargs, "action": _AsTuple, "metavar": "VALUE"}
    if kind is bool:
        return {"action": argparse.BooleanOptionalAction}
    return {"type": kind, "metavar": "VALUE"}


class _AsTuple(argparse.Action):
    def __call__(self, parser, namespace, values, option_string=None):
        setattr(namespace, self.dest, tuple(values))


def _part(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d+)/(\d+)", text)
    if not match:
        raise argparse.ArgumentTypeError(f"got {text!r}; give i/n with i from 1 to n, as 1/4")
    return int(match[1]), int(match[2])


def _print_report(name: str, split: SplitReport) -> None:
    print(f"{name}: {split.videos} videos, {split.frames} frames, {split.size / 1e6:.1f} MB")
    error = split.flow_error
    if error.known:
        print(
            f"{name}: stored flow is {error.total / error.known:.3f} px from the float flow, on "
            f"average; {error.beyond / (error.known + error.beyond):.2%} of it is beyond the bound"
        )
    if split.skipped:
        print(f"{name}: {len(split.skipped)} files skipped")
        for skip in split.skipped[:_MOST_LISTED]:
            print(f"  {skip.path}: {skip.reason}")
        if len(split.skipped) > _MOST_LISTED:
            print(f"  and {len(split.skipped) - _MOST_LISTED} more")
    if split.missing:
        print(f"{name}: {len(split.missing)} shards of other runs are still to be made")


if __name__ == "__main__":
    sys.exit(main())
