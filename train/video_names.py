"""The form in which names of videos are compared with those that a run remembers."""

import functools
import unicodedata
from collections.abc import Callable, Sequence

from afn_jax.data.sources.identity import footage
from afn_jax.data.sources.lists.video_list import spelled


def name_key(*lists: Sequence[str]) -> Callable[[str], str]:
    """Returns a function of a name that is equal for names of the same video.

    The spelling of folders does not matter, because it does not matter for classes; nor does it
    matter whether accents are composed. If names in one of `lists` differ in nothing else, they are
    different videos, and names are compared as they are.
    """
    for names in lists:
        folders = {_folder(name) for name in names}
        clash = len({_spelled_folder(folder) for folder in folders}) < len(folders)
        if clash or len(set(map(_key, names))) < len(set(names)):
            return str
    return _key


def _key(name: str) -> str:
    path = footage(name).path
    file = unicodedata.normalize("NFC", path.rpartition("/")[2])
    # What follows the path are times and, in data of several labels per video, a class.
    return f"{_spelled_folder(_folder(path))}/{file}{spelled(name[len(path) :])}"


def _folder(path: str) -> str:
    return footage(path).path.rpartition("/")[0]


@functools.lru_cache(maxsize=1 << 16)
def _spelled_folder(folder: str) -> str:
    return "/".join(map(spelled, folder.split("/")))
