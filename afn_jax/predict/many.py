"""Predicts many videos into one folder: resumes, and skips what is unreadable."""

import dataclasses
import errno
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from afn_jax.data.files.free_memory import free_memory
from afn_jax.data.source import Skipped, VideoReadError
from afn_jax.export.network import Network
from afn_jax.near_names import printable
from afn_jax.predict.engine import FLOW_NOTE, predict_video
from afn_jax.predict.frames.inputs import NoVideos, find_videos
from afn_jax.predict.outputs.folder import Shared, output_folder, write_skipped
from afn_jax.predict.outputs.ledger import SUGGEST, Ledger, planned_endings
from afn_jax.predict.outputs.records import (
    Results,
    file_state,
    is_done,
    load_result,
    network_identity,
    write_record,
)
from afn_jax.predict.outputs.stage import stage
from afn_jax.predict.page.index import write_index
from afn_jax.predict.predictor import Predicted
from afn_jax.predict.result import VideoResult
from afn_jax.predict.settings import Settings, check_network
from afn_jax.predict.suggest.files import CSV_NAME, PAGE_NAME
from afn_jax.predict.suggest.stored import load_windows, save_windows
from afn_jax.predict.suggest.suggestions import Suggestion, Suggestions

INDEX = "index.html"


class Reporter(Protocol):
    """Shows the progress to a person."""

    def start(self, number: int, of: int, video: str) -> None: ...

    def advance(self, done: float, of: float | None) -> None: ...

    def finish(self, video: str, outcome: str, seconds: float, took: float) -> None: ...


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What became of the videos.

    Attributes:
        done: number of videos with complete outputs.
        before: how many of them an earlier command had done.
        skipped: what was left out, with reasons.
        segments: number of segments.
        seconds: of video, in this command.
        took: seconds that this command needed for them.
        interrupted: whether it was stopped by Ctrl-C.
        index: path of the page.
        listing: path of the table of what was left out; None if there is nothing.
        suggested: paths of the suggestions and their page; () without.
        notes: what a person should know.
    """

    done: int
    before: int
    skipped: tuple[Skipped, ...]
    segments: int
    seconds: float
    took: float
    interrupted: bool
    index: Path
    listing: Path | None = None
    suggested: tuple[Path, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def exit_code(self) -> int:
        """130 after Ctrl-C, 1 if no video was predicted, else 0."""
        return 130 if self.interrupted else int(self.done == 0)

    def line(self) -> str:
        """Returns the result as one line for programs."""
        speed = f" times_real_time={self.seconds / self.took:.3g}" if self.seconds else ""
        return (
            f"videos={self.done} before={self.before} skipped={len(self.skipped)} "
            f"segments={self.segments}{speed} index={self.index}"
        )


def predict_many(
    network: Network,
    videos: Sequence[str],
    out: str | Path,
    settings: Settings,
    *,
    command: str,
    overwrite: bool = False,
    suggestions: Suggestions | None = None,
    reporter: Reporter,
) -> Outcome:
    """Predicts videos and writes the outputs of each and a page over all.

    Files that are not as this program wrote them are never replaced: outputs get other names.
    Earlier outputs of a video stay until the new ones are complete. Ctrl-C ends the work; the
    outputs of the videos before are complete, and the same call continues with the video that was
    stopped.

    Args:
        network: loaded with what the settings need.
        videos: files, folders and patterns, as for `find_videos`.
        out: the output folder.
        settings: what to write.
        command: shown on the page.
        overwrite: replace outputs of another network or other settings.
        suggestions: collects and writes the windows to label next.
        reporter: shows the progress.

    Raises:
        ValueError: no videos, settings that the network does not fit, or outputs of another network
            or other settings in `out`.
        OSError: the folder cannot be written, or the disk is full.
    """
    check_network(settings, network.card, network.name)
    identity = network_identity(network)
    try:
        found = find_videos(videos)
    except NoVideos as error:
        listing = _list_skipped(error.skipped, out, identity, settings, overwrite=overwrite)
        raise ValueError(f"{error} {listing}".strip()) from None
    with output_folder(out, identity, settings, overwrite=overwrite) as shared:
        folder = shared.folder
        ledger = Ledger(folder, identity, settings)
        work = _Work(ledger, folder, network, identity, settings, suggestions, reporter)
        names = work.choose_names(found.videos)
        work.skipped += found.skipped
        started, interrupted = time.monotonic(), False
        try:
            for number, video in enumerate(found.videos, start=1):
                reporter.start(number, len(found.videos), video)
                work.predict(video, names[video])
        except KeyboardInterrupt:
            interrupted = True
        took = time.monotonic() - started
        work.note_names()
        results = Results(folder, ledger.finished(work.done))
        skipped = (*work.skipped, *found.rest)
        listing = write_skipped(shared, skipped)
        card = network.card
        recipe = "" if card.recipe == card.model else f", recipe {card.recipe}"
        about = f"{network.name}: {card.model}{recipe}, step {card.step}"
        with shared.writing(INDEX) as index:
            write_index(index, results, skipped, card.class_names, about, command)
        if work.again:
            work.notes.append(_again(work.again))
        suggested = ()
        if suggestions is not None and work.done:
            suggested = _write_suggestions(shared, suggestions)
        return Outcome(
            done=len(work.done),
            before=work.before,
            skipped=skipped,
            segments=work.segments,
            seconds=work.seconds,
            took=took,
            interrupted=interrupted,
            index=folder / index.name,
            listing=listing,
            suggested=suggested,
            notes=(*work.notes, *shared.notes),
        )


def _again(count: int) -> str:
    videos = "1 video was" if count == 1 else f"{count} videos were"
    return (
        f"{videos} predicted again, because the windows to suggest had not been kept: "
        "they are if --suggest is given from the start, with the same options and at most "
        "that number."
    )


def _list_skipped(
    skipped: Sequence[Skipped],
    out: str | Path,
    identity: dict[str, Any],
    settings: Settings,
    *,
    overwrite: bool,
) -> str:
    """Writes the table of what was left out if no video was found; returns where it is."""
    if not skipped:
        return ""
    try:
        with output_folder(out, identity, settings, overwrite=overwrite) as shared:
            listing = write_skipped(shared, skipped)
    except (ValueError, OSError):  # that there is no video matters more
        return ""
    return f"{listing} lists all files with the reasons."


def _write_suggestions(shared: Shared, suggestions: Suggestions) -> tuple[Path, Path]:
    """Writes the suggestions, beside a list that a person has filled in and its page."""
    new = shared.is_changed(CSV_NAME)
    with shared.writing(CSV_NAME) as listing, shared.writing(PAGE_NAME, new=new) as page:
        suggestions.write(listing, page)
    return shared.folder / listing.name, shared.folder / page.name


class _Work:
    """The videos so far."""

    def __init__(self, ledger, folder, network, identity, settings, suggestions, reporter):
        self._ledger, self._folder, self._reporter = ledger, folder, reporter
        self._network, self._identity, self._settings = network, identity, settings
        self._suggestions = suggestions
        self._endings = planned_endings(settings, network.card, suggest=suggestions is not None)
        # Names of the outputs by video: now, if there were no files of others, and earlier.
        self._names: dict[str, str] = {}
        self._plain: dict[str, str] = {}
        self._earlier: dict[str, str] = {}
        self._new: set[str] = set()  # videos that this call predicted
        self.done: list[str] = []
        self.skipped: list[Skipped] = []
        self.notes: list[str] = []
        self.before, self.again, self.segments, self.seconds = 0, 0, 0, 0.0

    def choose_names(self, videos: Sequence[str]) -> dict[str, str]:
        """Returns the names of the outputs by video."""
        found = self._ledger.names_of(videos, self._endings, self._is_done)
        self._names, self._plain, self._earlier = found
        return self._names

    def note_names(self) -> None:
        """Adds which outputs of this call have an unusual name to the notes."""
        others = [v for v, name in self._names.items() if v in self._new and name != self._plain[v]]
        for video in others[:1]:
            more = f", and {len(others) - 1} more likewise" if len(others) > 1 else ""
            self.notes.append(
                f"the outputs of {printable(video)} are named {printable(self._names[video])}, "
                f"because {self._folder} has other files named {printable(self._plain[video])}.*"
                f"{more}"
            )

    def predict(self, video: str, name: str) -> None:
        """Predicts one video, unless it is done; notes it if it cannot be read."""
        started = time.monotonic()
        try:
            state = file_state(video)
            windows = self._kept(video, name, state)
            if windows is not None:
                if self._suggestions is not None:
                    self._suggestions.add_video(windows)
                result = load_result(self._folder, name)
                self.done.append(name)
                self.before += 1
                self.segments += len(result.segments)
                self._reporter.finish(video, "done before", 0.0, 0.0)
                return
            result = self._predict(video, name, state)
        except VideoReadError as error:
            self._skip_unreadable(video, name, str(error).removeprefix(f"{video}: "))
            return
        except FileExistsError as error:
            reason = f"another program wrote {error.filename} meanwhile; call the command again"
            self._skip(video, reason)
            return
        except OSError as error:
            if not _is_about(error, video):
                raise
            self._skip_unreadable(video, name, error.strerror or str(error))
            return
        self.done.append(name)
        self._new.add(video)
        self.seconds += result.duration
        self.segments += len(result.segments)
        took = time.monotonic() - started
        count = len(result.segments)
        outcome = f"{count} segment{'' if count == 1 else 's'}"
        for note in result.notes:
            if not note.startswith(FLOW_NOTE):  # the same for all
                outcome += f"; {note}"
        self._reporter.finish(video, outcome, result.duration, took)
        free_memory()

    def _is_done(self, video: str, name: str) -> bool:
        try:
            return self._kept(video, name, file_state(video)) is not None
        except OSError:
            return False

    def _kept(self, video: str, name: str, state: list[int]) -> list[Suggestion] | None:
        """Returns the windows to suggest of a video that is done; None if it is not."""
        if not is_done(self._folder, name, video, state, self._identity, self._settings):
            return None
        if self._suggestions is None:
            return []
        path = self._folder / f"{name}{SUGGEST}"
        return load_windows(path, video, self._suggestions.kind)

    def _predict(self, video: str, name: str, state: list[int]) -> VideoResult:
        """Predicts a video and writes its files; after an error, the earlier ones are there."""
        suggestions = self._suggestions

        def on_window(path: str, predicted: Predicted, frames: np.ndarray) -> None:
            window = predicted.window
            suggestions.add(
                *(path, window.start, window.end, predicted.probabilities, frames),
                predicted.features,
            )

        earlier = self._earlier.get(video, name)
        if suggestions is not None:
            self.again += is_done(
                self._folder, earlier, video, state, self._identity, self._settings
            )
        self._ledger.check_free(name, (name + ending for ending in self._endings))
        try:
            with stage(self._folder) as hidden:
                result = predict_video(
                    video,
                    name,
                    hidden,
                    self._network,
                    self._settings,
                    progress=self._reporter.advance,
                    on_window=None if suggestions is None else on_window,
                )
                if suggestions is not None:
                    file = f"{name}{SUGGEST}"
                    save_windows(hidden / file, suggestions.take_video(), suggestions.kind)
                    result.files["suggest"] = file
                write_record(
                    *(hidden, result, self._network, self._identity, self._settings, video, state)
                )
                self._ledger.publish(name, hidden, result.files.values(), earlier)
        except BaseException:
            if suggestions is not None:
                suggestions.discard_video()
            raise
        return result

    def _skip_unreadable(self, video: str, name: str, reason: str) -> None:
        earlier = self._earlier.get(video, name)
        if self._ledger.leave_out(earlier):
            reason += f"; its earlier outputs stay, {printable(earlier)}.*"
        self._skip(video, reason)

    def _skip(self, video: str, reason: str) -> None:
        self.skipped.append(Skipped(video, reason))
        self._reporter.finish(video, f"skipped: {reason}", 0.0, 0.0)


def _is_about(error: OSError, video: str) -> bool:
    """Whether an error is one of reading a video, and not one of writing its outputs."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
        return False
    return error.filename is not None and str(error.filename).startswith(video)
