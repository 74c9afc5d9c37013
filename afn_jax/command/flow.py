"""`afn-jax flow`: optical flow of two pictures, a folder of frames or a video."""

import contextlib
import dataclasses
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Literal

import tyro

from afn_jax.command.accelerator import start_jax, user_cache
from afn_jax.command.options import (
    OPTIONAL_FLOAT,
    OPTIONAL_INT,
    REQUIRED,
    UNSET,
    default,
    file_of,
    options_as_typed,
    typed,
)
from afn_jax.command.process import work_starts
from afn_jax.command.progress import VideoProgress
from afn_jax.data.source import VideoReadError
from afn_jax.data.sources.frame_folder import AmbiguousFrames
from afn_jax.data.sources.frame_names import EXTENSIONS, OPTION
from afn_jax.limits import Limits, check_limits
from afn_jax.near_names import printable
from afn_jax.ops import TVL1Config
from afn_jax.predict.flow.estimate import FlowSummary, check_outputs, pair_flow, video_flow
from afn_jax.predict.flow.methods import DISMethod, FlowMethod, NetworkMethod, TVL1Method
from afn_jax.predict.frames.inputs import why_written

Format = Literal["png", "flo", "kitti", "npz", "mp4"]


@dataclasses.dataclass(frozen=True)
class FlowConfig:
    """Estimates optical flow, without a network or with one.

    afn-jax flow FIRST SECOND --out NAME, or afn-jax flow VIDEO, or afn-jax flow FOLDER
    """

    inputs: Annotated[
        tuple[str, ...], tyro.conf.Positional, REQUIRED, tyro.conf.arg(metavar="INPUT [SECOND]")
    ]
    """Two pictures of one size, a video, or a folder of numbered frames."""
    out: Annotated[str, default("the name of the first input and _flow, in the current folder")] = (
        ""
    )
    """Name of the results without extension, e.g. results/flow."""
    method: Literal["tvl1", "dis"] = "tvl1"
    """TV-L1 of this library, or OpenCV's DIS, which is faster and less exact."""
    model: Annotated[str, UNSET] = ""
    """A file that `python -m eval export` wrote: the flow of this network, without --method."""
    formats: Annotated[
        tuple[Format, ...], default("png and flo for two pictures, otherwise mp4")
    ] = ()
    (
        "png: color picture. flo: Middlebury. kitti: 16-bit png. npz: NumPy, 16-bit floats. mp4: "
        "the frames with their flow."
    )
    max_magnitude: Annotated[
        float | None, Limits(above=0), OPTIONAL_FLOAT, default("from the flow")
    ] = None
    """Speed in pixels at full saturation of png and mp4."""
    stride: Annotated[
        int | None, Limits(1), OPTIONAL_INT, default("1; with --model that of its training")
    ] = None
    """Frames from each used frame to the next."""
    fps: Annotated[float | None, Limits(above=0), OPTIONAL_FLOAT, default("25")] = None
    """Folders of frames: frames per second."""
    frame_names: Annotated[str, default("found out")] = ""
    """Folders of frames: what their names look like, such as 'img_*'."""
    overwrite: bool = False
    """Replace older results of the same name, never an input or a folder of others."""
    tvl1: Annotated[TVL1Config, tyro.conf.arg(name="")] = TVL1Config()


def main(arguments: Sequence[str]) -> int:
    """Runs the command and returns its exit code."""
    arguments = list(arguments)
    with as_typed():
        return run(tyro.cli(FlowConfig, prog="afn-jax flow", args=arguments))


def as_typed() -> contextlib.AbstractContextManager[None]:
    """Returns a context in which errors name options as users type them."""
    return options_as_typed(FlowConfig, TVL1Config, positional=("inputs",))


def run(config: FlowConfig) -> int:
    """Runs the command and returns its exit code."""
    check_limits(config)
    pair = _check_inputs(config.inputs)
    stem, formats = _outputs(config, pair)
    _check_effect(config, pair, formats)
    inputs = [*config.inputs, *([config.model] if config.model else [])]
    check_outputs(stem, formats, inputs, pair=pair, overwrite=config.overwrite)
    start_jax(user_cache())
    method, stride = _method(config)
    work_starts()
    if pair:
        first, second = config.inputs
        summary = pair_flow(
            first,
            second,
            method,
            stem,
            kinds=formats,
            max_magnitude=config.max_magnitude,
            overwrite=config.overwrite,
        )
    else:
        (source,) = config.inputs
        with VideoProgress() as progress, _own_options():
            progress.start(1, 1, source)
            summary = video_flow(
                source,
                method,
                stem,
                kinds=formats,
                stride=config.stride or stride,
                max_magnitude=config.max_magnitude,
                fps=config.fps,
                frame_names=config.frame_names,
                on_frame=progress.advance,
                overwrite=config.overwrite,
            )
    for note in summary.notes:
        print(f"note: {printable(note)}")
    print(summary_line(summary, method.name))
    return 0


@contextlib.contextmanager
def _own_options() -> Iterator[None]:
    """Names this command's option in advice on the names of frames."""
    try:
        yield
    except AmbiguousFrames as error:
        raise VideoReadError(str(error).replace(OPTION, "--frame-names")) from None


def summary_line(summary: FlowSummary, method: str) -> str:
    """Returns what was computed, in one line."""
    flows = "1 flow" if summary.flows == 1 else f"{summary.flows:,} flows"
    files = ", ".join(printable(os.fspath(path)) for path in summary.files)
    return (
        f"{printable(method)}: {flows} of {summary.size[0]} x {summary.size[1]} in {files}: "
        f"mean speed {summary.mean_speed:.2f} px, largest {summary.largest_speed:.2f} px"
    )


def _check_inputs(inputs: Sequence[str]) -> bool:
    """Returns whether the inputs are two pictures rather than a video.

    Raises:
        FileNotFoundError: one is missing.
        ValueError: they are neither two pictures nor one video or folder.
    """
    usage = "Give two pictures of one size, a video, or a folder of numbered frames."
    if len(inputs) not in (1, 2):
        raise ValueError(f"inputs: got {len(inputs)}. {usage}")
    for path in inputs:
        if not os.path.exists(path):
            raise FileNotFoundError(f"{printable(path)} is missing. {usage}")
    pictures = [path.lower().endswith(EXTENSIONS) and os.path.isfile(path) for path in inputs]
    if inputs and len(inputs) == 2:
        for path in inputs:
            if os.path.isdir(path):
                raise ValueError(f"{printable(path)} is a folder. {usage}")
        return True
    if pictures[0]:
        raise ValueError(f"{printable(inputs[0])} is one picture, but flow needs two. {usage}")
    if reason := why_written(inputs[0]):
        raise ValueError(f"{printable(inputs[0])} is {reason}.")
    return False


def _outputs(config: FlowConfig, pair: bool) -> tuple[str, tuple[str, ...]]:
    """Returns the name of the results without extension, and their formats."""
    formats = tuple(dict.fromkeys(config.formats))
    stem = config.out or f"{Path(os.path.abspath(config.inputs[0])).stem}_flow"
    base, suffix = os.path.splitext(stem)
    if suffix[1:] in ("png", "flo", "npz", "mp4") and config.out:  # `--out flow.flo`
        stem, formats = base, formats or (suffix[1:],)
    if not os.path.basename(stem):
        raise ValueError(f"out: got {config.out!r}; give a name without extension, e.g. out/flow.")
    return stem, formats or (("png", "flo") if pair else ("mp4",))


def _check_effect(config: FlowConfig, pair: bool, formats: Sequence[str]) -> None:
    """Raises ValueError for an option that has no effect."""
    if pair:
        names, why = ("stride", "fps", "frame_names"), "for two pictures"
    elif not os.path.isdir(config.inputs[0]):
        names, why = ("fps", "frame_names"), "for a video; it is for folders of frames"
    else:
        names, why = (), ""
    if given := [typed(name) for name in names if getattr(config, name)]:
        raise ValueError(f"{given[0]} has no effect {why}. Leave it out.")
    if config.fps is not None and set(formats) <= {"flo", "kitti"}:
        raise ValueError(
            f"--fps has no effect on {', '.join(formats)}, which hold no times. Leave it out."
        )
    if config.max_magnitude is not None and not {"png", "mp4"} & set(formats):
        raise ValueError(
            f"--max-magnitude has no effect on {', '.join(formats)}; it is for the colors of png "
            "and mp4. Leave it out."
        )


def _method(config: FlowConfig) -> tuple[FlowMethod, int]:
    """Returns the method, and the usual stride from frame to frame."""
    changed = [
        field.name
        for field in dataclasses.fields(TVL1Config)
        if getattr(config.tvl1, field.name) != field.default
    ]
    if changed and (config.model or config.method != "tvl1"):
        other = f"--model {config.model}" if config.model else f"--method {config.method}"
        raise ValueError(f"{changed[0]}: it is a setting of TV-L1; leave it or {other} out.")
    if not config.model:
        return (TVL1Method(config.tvl1) if config.method == "tvl1" else DISMethod()), 1
    if config.method != "tvl1":
        raise ValueError(f"method: got {config.method} and --model; leave one of them out.")
    if os.path.isdir(config.model):
        raise ValueError(
            f"model: {config.model} is a folder. Write the network of a run to a file first: "
            f"python -m eval export --run {config.model}"
        )
    from afn_jax.export import load

    with file_of("--model", "Give a file that `python -m eval export` wrote."):
        network = load(config.model, flow=True)
    return NetworkMethod(network), network.card.stride
