"""Clips whose kinds of pictures lie in folders of their own: `Class/clip/rgb`, `Class/clip/depth`.

Each such folder would be a video. They are pictures of one clip, and only one kind is its frames.

The names of kinds are guessed, and only folders below that of the class count. Folders of any other
names, such as those of actors or cameras, hold videos of their own.
"""

import fnmatch
import functools
import re
from collections import Counter, defaultdict
from collections.abc import Iterable

from afn_jax.data.sources.kinds import stem_of

FLOW_PAIRS = (("flow_x", "flow_y"), ("u", "v"), ("x", "y"))
_USUAL = re.compile(r"(rgb|img|image|frame|colou?r)s?([_-](frame|image|img|picture)s?)?")
_FLOW = re.compile(r"(optical[_-]?)?flow(s|[_-].*|[xy])?|[uv]")
_OTHER = re.compile(
    r"(depth|ir|infrared|thermal|mask|seg|segmentation|semantic|skeleton)s?"
    r"([_-](frame|image|img|map|mask|picture)s?)?"
)


@functools.lru_cache(maxsize=4096)
def picture_kind(folder: str) -> str:
    """Returns the kind of pictures that the name of a folder stands for; "" for any other name."""
    name = folder.casefold()
    if _FLOW.fullmatch(name):
        return "flow"
    return name if _USUAL.fullmatch(name) or _OTHER.fullmatch(name) else ""


def clip_and_folder(path: str) -> tuple[str, str] | None:
    """Divides a path into that of the clip and the name of the folder of one kind of pictures.

    None if there is no such folder. `A/clip/rgb` and `A/rgb/clip` are both the clip `A/clip`.
    """
    parts = stem_of(path).split("/")
    for i in range(len(parts) - 1, 0, -1):
        if len(parts) > 2 and picture_kind(parts[i]):
            return "/".join(parts[:i] + parts[i + 1 :]), parts[i]
    return None


def mixed_clips(paths: Iterable[str]) -> dict[str, dict[str, str]]:
    """Finds the clips of two or more kinds of pictures: their paths by folder, by clip."""
    clips: dict[str, dict[str, str]] = defaultdict(dict)
    for path in paths:
        if divided := clip_and_folder(path):
            clips[divided[0]][divided[1]] = path
    return {
        clip: dict(sorted(folders.items()))
        for clip, folders in sorted(clips.items())
        if len({picture_kind(folder) for folder in folders}) > 1
    }


def mixed_kinds(paths: Iterable[str], option: str = "--data.frame-names") -> str:
    """Returns why folders of frames cannot all be videos: clips of several kinds; "" if they can.

    A single such clip may be a coincidence.

    Args:
        paths: the folders of frames, relative to the root.
        option: the option that chooses a kind.
    """
    clips = mixed_clips(paths)
    if len(clips) < 2:
        return ""
    counts = Counter(folder for folders in clips.values() for folder in folders)
    order = sorted(counts, key=lambda name: (not _USUAL.fullmatch(name.casefold()), name))
    clip, folders = next(iter(clips.items()))
    return (
        f"{len(clips)} clips have folders of several kinds of pictures: "
        f"{', '.join(f'{name} ({counts[name]} clips)' for name in order)}, such as "
        f"{' and '.join(folders.values())} of the clip {clip}. Choose the one that holds the "
        f"frames, such as {option} '{order[0]}/*'"
    )


def is_chosen(path: str, frame_names: str) -> bool:
    """Whether a folder of frames is chosen by a pattern of folder and names, such as `rgb/*`.

    All are if the pattern has no folder. The folder is compared with each folder of the path,
    whatever the case.
    """
    folder, slash, _ = frame_names.casefold().rpartition("/")
    parts = path.casefold().split("/")
    return not slash or any(fnmatch.fnmatchcase(part, folder) for part in parts)


def flow_folders(name: str) -> list[tuple[str, str]]:
    """Returns where the components of the flow of a folder of frames may be, beside its frames."""
    parts = name.split("/")
    return [
        tuple("/".join([*parts[:i], component, *parts[i + 1 :]]) for component in pair)
        for i in range(len(parts) - 1, 0, -1)
        if picture_kind(parts[i]) not in ("", "flow")
        for pair in FLOW_PAIRS
    ]


def flow_pair(below: Iterable[str]) -> tuple[str, ...]:
    """Returns the folders of the components of flow if all others hold kinds of pictures; or ()."""
    names = {*below}
    for pair in FLOW_PAIRS:
        others = names - {*pair}
        if len(others) == len(names) - 2 > 0 and all(map(picture_kind, others)):
            return pair
    return ()
