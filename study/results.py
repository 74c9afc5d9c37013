"""The numbers of the study: `results.jsonl` beside the page's pictures has one line per run.

`settings.jsonl` has one line for each fingerprint of settings that occurs there.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from study.report import Tried, write_report
from study.runs import Place
from study.settings import Settings, fingerprint, today

FILE = "results.jsonl"
SETTINGS = "settings.jsonl"
REMARKS = "remarks.json"


class Results:
    """The runs that are done. A line cut short by a crash is ignored, so its run is repeated."""

    def __init__(self, page: Path):
        self.page = page
        self._file = page.with_suffix("") / FILE
        self._rows: dict[tuple, dict[str, float]] = {}
        # By run, in today's names; the fingerprint alone where its settings do not exist today.
        self._settings: dict[tuple, Settings | str] = {}
        self._known: dict[str, Settings | str] = {}
        for line in _lines(self._settings_file):
            try:
                self._known[line["settings"]] = _today_or(line["settings"], line)
            except (KeyError, TypeError, AttributeError):
                continue
        for row in _lines(self._file):
            try:
                settings = self._known.get(row["settings"], row["settings"])
                self._keep(tuple(row["run"]), settings, row["numbers"])
            except (KeyError, TypeError):
                continue

    @property
    def _settings_file(self) -> Path:
        return self._file.with_name(SETTINGS)

    def has(self, finding: str, arm: str, place: Place, settings: Settings) -> bool:
        """Whether that arm has been run there with these settings (`settings.settings_of`)."""
        return self._settings.get(_key(finding, arm, place)) == settings

    def was_other(self, finding: str, arm: str, place: Place, settings: Settings) -> bool:
        """Whether it has been run there with different settings."""
        return self._settings.get(_key(finding, arm, place), settings) != settings

    def add(
        self, finding: str, arm: str, place: Place, settings: Settings, numbers: dict[str, float]
    ) -> None:
        """Writes the numbers of a run, which replace those of different settings."""
        key, name = _key(finding, arm, place), fingerprint(settings)
        self._keep(key, settings, numbers)
        self._file.parent.mkdir(parents=True, exist_ok=True)
        if name not in self._known:
            _append(self._settings_file, {"settings": name, **settings})
            self._known[name] = settings
        _append(self._file, {"run": key, "settings": name, "numbers": numbers})

    def _keep(self, key: tuple, settings: Settings | str, numbers: dict[str, float]) -> None:
        for rows in (self._rows, self._settings):
            rows.pop(key, None)  # so that the last run is the last in order
        self._rows[key], self._settings[key] = numbers, settings

    def write_page(self) -> None:
        """Writes the report of all runs.

        An arm may have been run with several settings: its recipe has changed, and not all of its
        seeds were run again. Then only the rows with the settings of its last run count.
        """
        tried: dict[str, dict[tuple[str, str], Tried]] = {}
        last = {key[:4]: settings for key, settings in self._settings.items()}
        for key, numbers in self._rows.items():
            if self._settings[key] != last[key[:4]]:
                continue
            finding, arm, data, scale, fold, seed = key
            on = tried.setdefault(finding, {}).setdefault(
                (data, scale), Tried(data, scale, _Arms())
            )
            on.arms[arm][fold, seed] = numbers
        remarks = self._file.with_name(REMARKS)
        said = json.loads(remarks.read_text()) if remarks.exists() else {}
        write_report({key: list(on.values()) for key, on in tried.items()}, said, self.page)


class _Arms(dict):
    """Numbers by arm; empty for an arm that was not run."""

    def __missing__(self, arm: str) -> dict:
        self[arm] = {}
        return self[arm]


def _key(finding: str, arm: str, place: Place) -> tuple:
    return (finding, arm, place.data.name, place.scale, place.fold, place.seed)


def _today_or(name: str, line: dict[str, Any]) -> Settings | str:
    try:
        return today({key: value for key, value in line.items() if key != "settings"})
    except ValueError:  # a setting that no longer exists
        return name


def _lines(path: Path) -> Iterator[Any]:
    for line in path.read_text(errors="replace").splitlines() if path.exists() else ():
        try:
            yield json.loads(line)
        except (ValueError, RecursionError):
            continue


def _append(path: Path, row: dict[str, Any]) -> None:
    """Appends a line, after the end of one that a crash cut short."""
    cut = path.exists() and not path.read_bytes().endswith(b"\n") and path.stat().st_size
    with open(path, "a") as file:
        file.write(("\n" if cut else "") + json.dumps(row) + "\n")
