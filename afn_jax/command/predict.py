"""`afn-jax predict MODEL VIDEO... --out DIR`: classifies videos with a trained network."""

import contextlib
import dataclasses
import glob
import os
import shlex
from collections.abc import Callable, Set
from typing import Annotated, Literal

import tyro

from afn_jax.command.accelerator import start_jax, user_cache
from afn_jax.command.options import (
    OPTIONAL_FLOAT,
    REQUIRED,
    UNSET,
    default,
    file_of,
    options_as_typed,
    typed,
)
from afn_jax.command.process import work_starts
from afn_jax.command.progress import VideoProgress
from afn_jax.export.network import Network
from afn_jax.limits import Limits, check_limits
from afn_jax.near_names import printable
from afn_jax.predict.frames.inputs import why_written
from afn_jax.predict.live.loop import LiveOptions, predict_live
from afn_jax.predict.live.source import LiveSource, live_source
from afn_jax.predict.many import predict_many
from afn_jax.predict.settings import FilmFlow, FlowFormat, Settings
from afn_jax.predict.suggest.suggestions import Suggestions
from afn_jax.predict.threshold_file import read_thresholds

BATCH_ON_CPU, BATCH_ON_ACCELERATOR = 1, 8  # docs/predict.md has the measurement of the first


@dataclasses.dataclass(frozen=True)
class PredictOptions:
    """What to predict and to write."""

    videos: Annotated[
        tuple[str, ...], tyro.conf.Positional, REQUIRED, tyro.conf.arg(metavar="VIDEO ...")
    ]
    (
        "Files, folders (with all folders below) and patterns such as 'videos/**/*.mp4'. Live: the "
        "number of a camera, - for a pipe, or a URL such as rtsp://..."
    )
    out: Annotated[str, UNSET] = ""
    """Output folder. Not needed live."""
    every: Annotated[float | None, OPTIONAL_FLOAT, default("half of the length of a window")] = None
    """Seconds from one window to the next."""
    window: Annotated[float | None, OPTIONAL_FLOAT, default("adjacent")] = None
    """Networks with several segments: seconds to spread them over."""
    threshold: float = 0.5
    (
        "A segment needs a step of at least this probability. At .5, a class is more probable than "
        "all others together."
    )
    low: Annotated[float | None, OPTIONAL_FLOAT, default("0.6 x threshold, guessed")] = None
    """It extends over steps of at least this probability."""
    least: float = 0.0
    """Shorter segments are left out, in seconds."""
    thresholds: Annotated[str, UNSET] = ""
    """CSV or JSON file with thresholds per class: class,high[,low[,least]]."""
    top: int = 5
    """Number of classes in the tables."""
    film: bool = True
    """Write the annotated video."""
    film_height: int = 480
    """Height of its pictures, at most that of the video."""
    film_flow: FilmFlow = "none"
    """Show the network's flow in color beside the picture or over it."""
    features: bool = False
    """Write what stands before the classifier: NAME.features.npz."""
    flow: FlowFormat = "none"
    """Write the network's flow: one .npz, a .flo file per frame, or a video in color."""
    suggest: Annotated[int, Limits(0)] = 0
    """Write this many windows to label next: suggest.csv and suggest.html; 0: none."""
    suggest_by: Literal["margin", "entropy"] = "margin"
    """How uncertainty is measured: margin of the two most probable classes, or entropy."""
    suggest_whole: bool = False
    """Suggest whole videos instead of windows."""
    overwrite: bool = False
    (
        "Replace outputs of another network or of other settings; never files of others, nor "
        "outputs that were changed since they were written."
    )
    batch_size: Annotated[int, Limits(0)] = 0
    """Windows per call of the network; 0: 1 on a CPU, 8 on an accelerator."""
    fps: Annotated[float | None, OPTIONAL_FLOAT, default("25")] = None
    """Folders of pictures: frames per second."""
    live: bool = False
    """Play a file at its own rate, as if it were a camera."""
    show: bool = False
    """Live: show a window on the screen, if there is one."""


@dataclasses.dataclass(frozen=True)
class PredictConfig:
    """Classifies videos: tables, segments, an annotated film and a page per folder.

    afn-jax predict NETWORK.afn VIDEO... --out DIR
    """

    model: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="NETWORK.afn")]
    """The network: a file that `python -m eval export` wrote."""
    options: Annotated[PredictOptions, tyro.conf.arg(name="")]


def run(config: PredictConfig) -> int:
    """Runs the command; returns the exit code.

    0, or 1 if no video could be predicted or a live source failed, or 130 after Ctrl-C.
    """
    from afn_jax.export import load

    check_options(config.options)
    start_jax(user_cache())

    def load_network(*, flow: bool, features: bool) -> Network:
        with file_of("NETWORK.afn", "Give a file that `python -m eval export` wrote."):
            return load(config.model, flow=flow, features=features)

    return run_options(config.options, load_network, f"afn-jax predict {_quoted(config.model)}")


def run_options(options: PredictOptions, load_network: Callable[..., Network], command: str) -> int:
    """Runs with a network that `load_network(flow=, features=)` loads; returns the exit code."""
    with as_typed():
        return _run(options, load_network, command)


def as_typed() -> contextlib.AbstractContextManager[None]:
    """Returns a context in which errors name options as users type them."""
    return options_as_typed(PredictOptions, positional=("videos",))


def check_options(options: PredictOptions) -> LiveSource | None:
    """Checks options before anything slow; returns the live source, if it is one.

    Raises:
        ValueError: a value outside its bounds, no videos, or an option that has no effect.
    """
    check_limits(options)
    if not options.videos:
        raise ValueError("videos: got none; give files, folders, patterns or a live source.")
    source = live_source(options.videos, play=options.live)
    if options.live and source is None:
        raise ValueError(
            f"videos: got {printable(options.videos[0])}, which is not there; --live plays one "
            "file. Give its path, or leave --live out."
        )
    if source is None and not options.out:
        raise ValueError("out: got none; give the folder for the outputs with --out DIR.")
    changed = _changed(options)
    if source is not None:
        if source.kind not in ("file", "pipe"):
            _refuse(changed & {"live"}, f"on {source}, which is live anyway")
        _refuse(changed - _LIVE, "for a live source, which writes lines and no files")
        if source.kind == "file" and (reason := why_written(source.name)):
            raise ValueError(f"videos: {printable(source.name)} is {reason}.")
        return source
    _refuse(changed & {"show"}, "for files; it is for live sources. Add --live to play a file")
    if not options.suggest:
        _refuse(changed & {"suggest_by", "suggest_whole"}, "without --suggest NUMBER")
    if not options.film:
        _refuse(changed & {"film_height", "film_flow"}, "with --no-film")
    if not any(os.path.isdir(v) or glob.has_magic(v) for v in options.videos):
        _refuse(changed & {"fps"}, "for video files, which have a rate; it is for folders")
    return None


_LIVE = frozenset("every window threshold low least thresholds top batch_size live show".split())


def _changed(options: PredictOptions) -> set[str]:
    """Returns the names of the options that are not as by default."""
    return {
        field.name
        for field in dataclasses.fields(options)
        if field.name != "videos" and getattr(options, field.name) != field.default
    }


def _as_given(field: dataclasses.Field) -> tuple[str, str]:
    """Returns the name of an option, and how it is typed if it is not as by default."""
    option = typed(field.name)
    return field.name, f"--no-{option[2:]}" if field.default is True else option


def _refuse(names: Set[str], why: str) -> None:
    """Raises ValueError for options that have no effect."""
    if names:
        given = [_as_given(field) for field in dataclasses.fields(PredictOptions)]
        given = [option for name, option in given if name in names]
        verb, them = ("has", "it") if len(given) == 1 else ("have", "them")
        raise ValueError(f"{', '.join(given)} {verb} no effect {why}. Leave {them} out.")


def _run(options: PredictOptions, load_network: Callable[..., Network], command: str) -> int:
    source = check_options(options)
    settings = _settings(options)
    spread = bool(options.suggest)  # suggestions are spread over the features
    network = load_network(flow=settings.needs_flow, features=settings.features or spread)
    if not network.card.class_names:
        names = {"threshold", "low", "least", "thresholds", "top"}
        _refuse(_changed(options) & names, f"with {network.name}, which does not classify")
    settings = _with_thresholds(settings, options, network)
    work_starts()
    if source is not None:
        return predict_live(network, source, settings, LiveOptions(show=options.show))
    suggestions = None
    if options.suggest:
        suggestions = Suggestions(
            options.suggest,
            network.card.class_names,
            by=options.suggest_by,
            whole_videos=options.suggest_whole,
        )
    with VideoProgress() as progress:
        outcome = predict_many(
            network,
            options.videos,
            options.out,
            settings,
            command=" ".join([command, *_arguments(options)]),
            overwrite=options.overwrite,
            suggestions=suggestions,
            reporter=progress,
        )
    for note in outcome.notes:
        print(f"note: {note}")
    if outcome.suggested:
        print("suggestions:", *map(str, outcome.suggested))
    if outcome.interrupted:
        complete = "1 video is" if outcome.done == 1 else f"{outcome.done} videos are"
        print(f"interrupted: {complete} complete. The same command goes on with the rest.")
    for item in outcome.skipped[:10]:
        print(f"skipped {printable(item.path)}: {item.reason}")
    if len(outcome.skipped) > 10:
        print(f"skipped {len(outcome.skipped) - 10} more: see {outcome.listing}")
    print(outcome.line())
    return outcome.exit_code


def _settings(options: PredictOptions) -> Settings:
    import jax

    size = options.batch_size
    if size == 0:
        size = BATCH_ON_CPU if jax.default_backend() == "cpu" else BATCH_ON_ACCELERATOR
    shared = {field.name for field in dataclasses.fields(Settings)} - {"thresholds", "batch_size"}
    return Settings(batch_size=size, **{name: getattr(options, name) for name in shared})


def _with_thresholds(settings: Settings, options: PredictOptions, network: Network) -> Settings:
    if not options.thresholds:
        return settings
    names = network.card.class_names

    def read(low: float | None, least: float) -> tuple[tuple[str, float, float, float], ...]:
        with file_of("--thresholds", "Give a CSV or JSON file with thresholds per class."):
            return read_thresholds(options.thresholds, names, low=low, least=least)

    rows = read(settings.low, settings.least)
    if len(rows) == len(names):  # the file names all classes
        unused = {"threshold"}
        unused |= {"low"} if read(None, settings.least) == rows else set()
        unused |= {"least"} if read(settings.low, 0.0) == rows else set()
        given = _changed(options) & unused
        _refuse(given, f"with {printable(options.thresholds)}, which has them for all classes")
    return dataclasses.replace(settings, thresholds=rows)


def _arguments(options: PredictOptions) -> list[str]:
    """Returns the arguments as they would be typed."""
    words = [_quoted(video) for video in options.videos]
    for field in dataclasses.fields(options):
        value = getattr(options, field.name)
        if field.name == "videos" or value == field.default:
            continue
        name = field.name.replace("_", "-")
        if isinstance(value, bool):
            words.append(f"--{name}" if value else f"--no-{name}")
        else:
            words += [f"--{name}", _quoted(str(value))]
    return words


def _quoted(word: str) -> str:
    return shlex.quote(printable(word))
