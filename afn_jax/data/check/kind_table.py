"""The table of what lies in the folder of a dataset, by kind, and what became of it."""

import posixpath
from collections.abc import Iterator, Mapping

from afn_jax.data.check.dataset import Dataset, Inspected
from afn_jax.data.sources.kinds import extension_of
from afn_jax.data.sources.unused import Tally

LISTED = "listed"


def kind_table(
    dataset: Dataset, files: Mapping[str, Inspected]
) -> Iterator[tuple[str, int, str, str]]:
    """Yields (kind, count, example, what became of it), what is listed first.

    Args:
        dataset: the lists.
        files: the state of each listed file, by name.
    """
    listed, rest = Tally(), Tally(dataset.unused)
    names = [video.name for video in dataset.videos] or files
    for path, name in {posixpath.normpath(name): name for name in names}.items():
        file = files[name]
        if file.exists:
            became = LISTED if dataset.videos else "in no list"
            if not file.readable:
                became += f", {'but' if dataset.videos else 'and'} cannot be read to the end"
            listed.add(_kind(path, dataset), path, became)
    for name in dataset.unlisted:
        rest.add(_kind(name, dataset), name, "in no list")
    for item in (*listed.items(), *rest.items()):
        yield item.kind, item.count, item.example, item.reason


def _kind(name: str, dataset: Dataset) -> str:
    if name in dataset.frame_folders:
        return "folder of frames"
    return extension_of(name) or "no extension"
