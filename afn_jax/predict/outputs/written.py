"""What this program wrote into any output folder, which is not to be predicted or counted."""

import os
from pathlib import Path

from afn_jax.data.sources.kinds import VIDEO, kind_of
from afn_jax.predict.film.mark import is_marked
from afn_jax.predict.outputs.folder import shared_files
from afn_jax.predict.outputs.records import is_record, plain_names, read_record


class Written:
    """Tells which files are outputs, by what the output folders list. Each is read once.

    A video counts only with the mark of our films: another one may have taken the name.
    """

    def __init__(self):
        """Starts without folders."""
        self._names: dict[str, set[str]] = {}

    def __contains__(self, path: str) -> bool:
        folder, name = os.path.split(path)
        if folder not in self._names:
            self._names[folder] = _written_in(Path(folder))
        if name not in self._names[folder]:
            return False
        return kind_of(name) != VIDEO or os.path.isdir(path) or is_marked(path)


def _written_in(folder: Path) -> set[str]:
    names = shared_files(folder)
    if names:  # an output folder
        for entry in os.listdir(folder):
            name = entry.removesuffix(".json")
            if name != entry and is_record(folder / entry):
                record = read_record(folder / entry) or {"files": {}}
                names |= {entry, *plain_names(name, record["files"].values())}
    return names
