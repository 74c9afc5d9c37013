"""Which files of an output folder are as this program wrote them. All others are left alone."""

import contextlib
import errno
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from afn_jax.atomic import move_without_replacing
from afn_jax.export.card import Card
from afn_jax.predict.flow.files import flow_path
from afn_jax.predict.frames.inputs import output_names, video_identity
from afn_jax.predict.outputs.records import (
    fingerprint,
    is_record,
    is_unchanged,
    read_record,
    record_files,
    same_outputs,
)
from afn_jax.predict.outputs.stage import abandoned_stages
from afn_jax.predict.settings import Settings

SUGGEST = ".suggest.npz"


def planned_endings(settings: Settings, card: Card, *, suggest: bool) -> tuple[str, ...]:
    """Returns what the names of the outputs of a video end with."""
    endings = [".json", ".jpg"]
    if card.class_names:
        endings += [".csv", ".segments.csv"]
    if settings.film:
        endings.append(".mp4")
    if settings.features:
        endings.append(".features.npz")
    if settings.flow != "none":
        endings.append(f".flow{flow_path('x', settings.flow).name[1:]}")
    if suggest:
        endings.append(SUGGEST)
    return tuple(endings)


class Ledger:
    """The finished videos of an output folder, and the files that belong to them.

    Only files that are as they were written are replaced or removed: by their fingerprints.
    """

    def __init__(self, folder: Path, identity: Mapping[str, Any], settings: Settings):
        """Reads the records of the folder; removes what killed processes left.

        Args:
            folder: the output folder, held by this process.
            identity: of the network.
            settings: of the prediction.
        """
        self._folder = folder
        self._files: dict[str, dict[str, Any]] = {}  # name -> file -> fingerprint
        self._names: dict[str | int, str] = {}  # by path and by identity of the video
        self._current: set[str] = set()  # names of outputs of this network and these settings
        for stage in abandoned_stages(folder):
            self._undo(stage)
        records = []
        for name, record in _records(folder):
            files = self._files[name] = record_files(folder, name, record)
            current, intact = same_outputs(record, identity, settings), files[f"{name}.json"]
            keys = record.get("real_path"), record.get("file_id")
            records.append((not current, intact is None, name, keys))
        # If a person changed a record, it stays, and its video may have a newer one.
        for outdated, _, name, keys in sorted(records, key=lambda item: item[:3]):
            if not outdated and keys[0] not in self._names:
                self._current.add(name)
            for key in keys:
                if key:
                    self._names.setdefault(key, name)

    def names_of(
        self,
        videos: Sequence[str],
        endings: Sequence[str],
        is_done: Callable[[str, str], bool],
    ) -> tuple[dict[str, str], dict[str, str], dict[str, str]]:
        """Chooses the names of the outputs of videos, so that no file of others is replaced.

        A video keeps the name of its finished outputs if possible.

        Args:
            videos: paths.
            endings: what the names of the outputs end with.
            is_done: whether nothing will be written for a video and its earlier name.

        Returns:
            The names by video, those without files of others, and those of earlier outputs.
        """
        inputs = {os.path.realpath(video) for video in videos}
        before: dict[str, str] = {}
        used: set[str] = set()
        for video in videos:
            for key in (os.path.realpath(video), video_identity(video)):
                name = self._names.get(key)
                if name is not None and name not in used:
                    before[video] = name
                    used.add(name)
                    break

        place = os.path.realpath(self._folder)

        def may_write(name: str) -> bool:
            return all(
                (self._is_own(name, name + ending) or not self._exists(name + ending))
                and os.path.join(place, name + ending) not in inputs
                for ending in endings
            )

        known = {
            video: name for video, name in before.items() if may_write(name) or is_done(video, name)
        }
        casefolded = {name.casefold() for name in self._files}
        names = output_names(
            videos,
            known=known,
            endings=endings,
            is_free=lambda name: name.casefold() not in casefolded and may_write(name),
        )
        return names, output_names(videos, known=known, endings=endings), before

    def finished(self, first: Sequence[str]) -> list[str]:
        """Returns the names of the outputs of this network and these settings, some `first`."""
        return [*first, *sorted(self._current - set(first))]

    def leave_out(self, name: str) -> bool:
        """Takes outputs that are outdated off the page, without removing them.

        Returns:
            Whether there are any.
        """
        self._current.discard(name)
        return name in self._files

    def check_free(self, name: str, files: Iterable[str]) -> None:
        """Checks that nothing but earlier outputs of the video lies where it will have some.

        Raises:
            FileExistsError: another program has written one of the files meanwhile.
        """
        for file in files:
            if self._exists(file) and not self._is_own(name, file):
                path = str(self._folder / file)
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path)

    def publish(self, name: str, stage: Path, files: Iterable[str], earlier: str) -> None:
        """Moves the complete outputs of a video to their place, `NAME.json` last.

        Earlier outputs of the video, perhaps under another name, are removed just before.

        Raises:
            FileExistsError: another program has written one of the files meanwhile. None is moved.
        """
        files = [*files, f"{name}.json"]
        self.check_free(name, files)
        self.remove(earlier)
        self.remove(name)
        self._files[name] = {file: fingerprint(stage / file) for file in files}
        try:
            for file in files:
                move_without_replacing(stage / file, self._folder / file)
        except BaseException:
            self.remove(name)
            raise
        self._current.add(name)

    def remove(self, name: str) -> None:
        """Removes the outputs of a video that are as they were written, its record first."""
        for file in sorted(self._files.get(name, ()), key=lambda file: file != f"{name}.json"):
            if self._is_own(name, file):
                _remove(self._folder / file)
        self._files.pop(name, None)
        self._current.discard(name)

    def _is_own(self, name: str, file: str) -> bool:
        return is_unchanged(self._folder / file, self._files.get(name, {}).get(file))

    def _exists(self, file: str) -> bool:
        return os.path.lexists(self._folder / file)

    def _undo(self, stage: Path) -> None:
        """Removes what a process that was killed left of a video, some of it perhaps in place."""
        for name, record in _records(stage):
            own = f"{name}.json"
            with contextlib.suppress(OSError):
                if os.path.samefile(stage / own, self._folder / own):
                    continue  # all was in place
            self._files[name] = record_files(stage, name, record) | {own: None}
            self.remove(name)
        _remove(stage)


def _records(folder: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yields name and content of the records in a folder."""
    for entry in sorted(os.listdir(folder)):
        name = entry.removesuffix(".json")
        if name == entry or entry.startswith(".") or not is_record(folder / entry):
            continue
        record = read_record(folder / entry)
        if record is not None and record.get("name") == name:
            yield name, record


def _remove(path: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
