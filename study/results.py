"""The numbers of the study, one line a run, in `results.jsonl` beside the page's pictures."""

import json
from pathlib import Path

from study.report import Tried, write_report
from study.runs import Place

FILE = "results.jsonl"
REMARKS = "remarks.json"


class Results:
    """What has been run. A line cut short by a crash is left out, and its run done again."""

    def __init__(self, page: Path):
        self._page = page
        self._file = page.with_suffix("") / FILE
        self._rows: dict[tuple, dict[str, float]] = {}
        self._settings: dict[tuple, str] = {}
        for line in self._file.read_text().splitlines() if self._file.exists() else ():
            try:
                row = json.loads(line)
                self._keep(tuple(row["run"]), row["settings"], row["numbers"])
            except (json.JSONDecodeError, KeyError, TypeError):
                continue

    def has(self, finding: str, arm: str, place: Place, settings: str) -> bool:
        """Whether that arm has been run there, with these settings (`runs.settings_of`)."""
        return self._settings.get(_key(finding, arm, place)) == settings

    def was_other(self, finding: str, arm: str, place: Place, settings: str) -> bool:
        """Whether it has been run there, with other settings than these."""
        return self._settings.get(_key(finding, arm, place), settings) != settings

    def add(
        self, finding: str, arm: str, place: Place, settings: str, numbers: dict[str, float]
    ) -> None:
        """Keeps the numbers of a run, at once, in place of those of other settings."""
        key = _key(finding, arm, place)
        self._keep(key, settings, numbers)
        self._file.parent.mkdir(parents=True, exist_ok=True)
        with open(self._file, "a") as file:
            row = {"run": key, "settings": settings, "numbers": numbers}
            file.write(json.dumps(row) + "\n")

    def _keep(self, key: tuple, settings: str, numbers: dict[str, float]) -> None:
        for rows in (self._rows, self._settings):
            rows.pop(key, None)  # so that the last run is the last in order
        self._rows[key], self._settings[key] = numbers, settings

    def write_page(self) -> None:
        """Writes the report of all that has been run.

        Of an arm that was run with several settings, as where a recipe has changed and not all of
        its seeds were run again, the settings of its last run count, and the others are left out.
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
        write_report({key: list(on.values()) for key, on in tried.items()}, said, self._page)


class _Arms(dict):
    """Numbers by arm: an arm that was not run has none."""

    def __missing__(self, arm: str) -> dict:
        self[arm] = {}
        return self[arm]


def _key(finding: str, arm: str, place: Place) -> tuple:
    return (finding, arm, place.data.name, place.scale, place.fold, place.seed)
