"""The names of the frames of a video: which number orders them, and which pictures are no frames.

The pictures of a folder form groups whose names differ only in numbers: `img_00001.jpg`,
`img_00002.jpg`, ... are the group `img_#`. Upper and lower case, the number of leading zeros and
the extension do not matter. The number that varies orders the pictures. It may be a time
(`0.90.jpg`, `1.00.jpg`), a clock (`00_59.jpg`, `01_00.jpg`; see `clock_names.py`) or negative.

Flow pictures are known by their names (`flow_x_#` and `flow_y_#`, or `x_#` and `y_#`). If two more
groups remain, such as `img_#` and `depth_#`, or single pictures of other forms (`0a.jpg`,
`0b.jpg`), or a picture exists twice, nothing is guessed: `--data.frame-names` decides.
"""

import dataclasses
import fnmatch
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence

import numpy as np

from afn_jax.data.sources.clock_names import clock_numbers

# The still pictures that OpenCV decodes to 8 bits. GIF files are videos.
EXTENSIONS = (
    *(".jpg", ".jpeg", ".jpe", ".png", ".bmp", ".dib", ".webp", ".avif", ".jp2"),
    *(".ppm", ".pgm", ".pbm", ".pnm", ".tif", ".tiff", ".ras", ".sr"),
)
NUMBERED_PICTURE = re.compile(
    rf"(?!\.)([^/]*\d[^/]*)({'|'.join(map(re.escape, EXTENSIONS))})", re.IGNORECASE
)
OPTION = "--data.frame-names"
PER_SECOND = 10**9  # times are kept in nanoseconds

_FLOW_X, _FLOW_Y = (
    tuple(f"{start}{component}{end}#" for start in ("flow_", "") for end in ("_", ""))
    for component in "xy"
)
_EXTENSIONS = frozenset(extension[1:] for extension in EXTENSIONS)
_DIGITS = re.compile(r"(\d+)")
# A number that may be a time or negative. After a letter or digit, "-" is a hyphen: img-1.
_REAL = re.compile(r"(?<![^\W_])-\d+(?:[.,]\d+)?|\d+(?:[.,]\d+)?")
_LARGEST_NUMBER = 2**62
_MOST_SHOWN = 4  # groups or names in a message
# Single pictures of other forms, such as a poster, as a share of the frames; guessed.
_MOST_SINGLE = 0.03


class AmbiguousNames(ValueError):
    """Raised if the names do not tell which pictures are the frames; the message says why."""


@dataclasses.dataclass(frozen=True, eq=False)
class Group:
    """Pictures in order.

    Attributes:
        names: the file names.
        numbers: `[N]` int64, increasing; times in units of 1 / `PER_SECOND`.
        times: whether the numbers are times, those of a clock in units of its last field.
    """

    names: tuple[str, ...]
    numbers: np.ndarray
    times: bool = False


@dataclasses.dataclass(frozen=True, eq=False)
class Pictures:
    """The numbered pictures of a folder by their meaning.

    Attributes:
        frames: the frames; None if there are none.
        flow: pictures of the x and the y component of flow, or None.
        rest: names of the others.
    """

    frames: Group | None
    flow: tuple[Group, Group] | None
    rest: tuple[str, ...]


def sort_pictures(names: Sequence[str], pattern: str = "", *, with_flow: bool = True) -> Pictures:
    """Finds the frames and the flow pictures among the file names of a folder.

    Args:
        names: file names; those that are not numbered pictures are ignored.
        pattern: what the names of frames look like, such as `img_*`; without a wildcard, what they
            start with. Empty: all that are not flow.
        with_flow: whether some may be flow pictures.

    Raises:
        AmbiguousNames: two groups of pictures may be the frames, several single ones are like none
            of them, or two pictures have one number.
        ValueError: a number is too large.
    """
    groups = _by_title(names)
    known = (_FLOW_X, _FLOW_Y) if with_flow else ((), ())
    plain = {title.replace("#.#", "#").replace("#,#", "#"): title for title in groups}
    flow = [next((plain[t] for t in titles if t in plain), None) for titles in known]
    flow_titles = {plain.get(title) for titles in known for title in titles}
    pair = None if None in flow else tuple(_ordered(groups[title]) for title in flow)
    candidates: dict[str, _Form] = {}
    for title, form in groups.items():
        chosen = [picture for picture in form.pictures if matches(picture[0], pattern)]
        if chosen and title not in flow_titles:
            candidates |= _told_apart(title, dataclasses.replace(form, pictures=chosen))
    # A single picture of another form, such as a poster, is not another video.
    videos = {t: form for t, form in candidates.items() if len(form.pictures) > 1 or form.part}
    if len(videos) > 1:
        raise AmbiguousNames(_which_of(videos))
    frames = next(iter((videos or candidates).values()), None)
    single = [form.pictures[0][0] for form in candidates.values() if form is not frames]
    if len(single) > 1 and len(single) > _MOST_SINGLE * len(frames.pictures):
        raise AmbiguousNames(_what_of(single, candidates, frames))
    found = Pictures(frames and _ordered(frames), pair, ())
    used = {name for group in (found.frames, *(pair or ())) if group for name in group.names}
    rest = sorted(n for form in groups.values() for n, _ in form.pictures if n not in used)
    return dataclasses.replace(found, rest=tuple(rest))


def matches(name: str, pattern: str) -> bool:
    """Whether a file name matches a pattern, whatever the case; see `sort_pictures`."""
    pattern = pattern.rpartition("/")[2]  # the folder is `modalities.is_chosen`'s
    if not pattern:
        return True
    whole = pattern if set("*?[") & set(pattern) else f"{pattern}*"
    return fnmatch.fnmatchcase(name.casefold(), whole.casefold())


def largest_step(group: Group) -> int:
    """Returns the largest difference of the numbers of a frame and the next one.

    1; for times, guessed: 1.5 times the median difference.
    """
    return int(1.5 * np.median(np.diff(group.numbers))) if group.times else 1


@dataclasses.dataclass(frozen=True)
class _Form:
    """Pictures whose names differ only in numbers.

    Attributes:
        texts: the texts between the numbers.
        pictures: pairs of a name and its numbers, as in the name.
        real: whether the numbers are texts such as "-1" and "0.5"; otherwise of digits only.
        part: whether others with different texts between the numbers may be the same video.
    """

    texts: list[str]
    pictures: list[tuple[str, list[str]]]
    real: bool = False
    part: bool = False


def _by_title(names: Iterable[str]) -> dict[str, _Form]:
    """Groups numbered pictures by their names with # in place of numbers, in lower case."""
    groups: dict[str, _Form] = {}
    for name in names:
        stem, _, extension = name.rpartition(".")
        if extension.lower() in _EXTENSIONS and not name.startswith("."):
            parts = _DIGITS.split(stem)
            if len(parts) > 1:
                title = "#".join(parts[::2]).casefold()
                if title not in groups:
                    groups[title] = _Form(parts[::2], [])
                groups[title].pictures.append((name, parts[1::2]))
    if len(groups) == 1:
        return groups
    # 0.jpg, 0.5.jpg and -1.jpg differ in form, but belong together; 0001.jpg and 0001.5.jpg do not.
    alike: dict[str, list[str]] = defaultdict(list)
    for title, form in groups.items():
        stem = _stem(form.pictures[0][0])
        point = any("." in number or "," in number for number in _REAL.findall(stem))
        padded = any(n.startswith("0") and n != "0" for _, row in form.pictures for n in row[:1])
        if not (point and padded):
            alike[_REAL.sub("#", stem).casefold()].append(title)
    for title, titles in alike.items():
        if len(titles) > 1:
            merged = [name for old in titles for name, _ in groups.pop(old).pictures]
            pictures = [(name, _REAL.findall(_stem(name))) for name in merged]
            groups[title] = _Form(_REAL.split(_stem(merged[0])), pictures, real=True)
    return dict(sorted(groups.items()))


def _told_apart(title: str, form: _Form) -> dict[str, _Form]:
    """Divides pictures in which several numbers vary and none alone tells all of them apart."""
    if _keys(form) is not None:
        return {title: form}
    # The number with the most values counts the frames, and the others tell videos apart.
    varied = [len(set(column)) for column in zip(*(row for _, row in form.pictures), strict=True)]
    frame = max(range(len(varied)), key=lambda i: (varied[i], i))
    divided: dict[str, _Form] = {}
    for name, row in form.pictures:
        numbers = ["#" if i == frame else number for i, number in enumerate(row)]
        own = "".join(
            text for pair in zip(form.texts, [*numbers, ""], strict=True) for text in pair
        )
        part = divided.setdefault(own.casefold(), dataclasses.replace(form, pictures=[], part=True))
        part.pictures.append((name, row))
    return divided


def _ordered(form: _Form) -> Group:
    """Returns the pictures in the order of their numbers.

    Raises:
        AmbiguousNames: two pictures have one number, or it is too large.
    """
    keys, times = _keys(form) or ([0] * len(form.pictures), False)
    pairs = sorted(zip(keys, (name for name, _ in form.pictures), strict=True))
    keys, names = [key for key, _ in pairs], tuple(name for _, name in pairs)
    if len(set(keys)) < len(keys):
        twice = [i for i in range(len(keys) - 1) if keys[i] == keys[i + 1]]
        first, second = names[twice[0]], names[twice[0] + 1]
        extensions = {name[name.rindex(".") :] for name in (first, second)}
        choice = f" '*{min(extensions)}'" if len(extensions) > 1 else ""
        others = len(twice) - 1
        more = f", and {others} more pair{'s' * (others > 1)}" if others else ""
        raise AmbiguousNames(
            f"two pictures have the same number, {first} and {second}{more}; remove "
            f"{'one of each' if others else 'one of them'}, or choose with {OPTION}{choice}"
        )
    if max(-keys[0], keys[-1]) > _LARGEST_NUMBER:
        raise ValueError("numbers larger than 2^62")
    return Group(names, np.array(keys, np.int64), times)


def _keys(form: _Form) -> tuple[list[int], bool] | None:
    """Returns the number of each name that orders them, and whether it is a time.

    None if no single number orders them.
    """
    columns = _columns(form)
    varying = [column for column in columns if len(set(column[0])) > 1]
    if len(varying) < 2:
        return (varying or columns)[-1]
    # One that tells all apart counts the frames if the others grow with it (a number and a time),
    # or if its steps are equal (a number and a random key).
    count = len(form.pictures)
    distinct = [column for column in varying if len(set(column[0])) == count]
    for column in distinct:
        order = sorted(range(count), key=column[0].__getitem__)
        others = [[other[i] for i in order] for other, _ in varying]
        if all(other == sorted(other) for other in others):
            return column
    if not form.real and (numbers := clock_numbers(form.texts, [row for _, row in form.pictures])):
        return numbers, True
    equal = [column for column in distinct if len(set(np.diff(sorted(column[0])))) == 1]
    if len(equal) != 1 or _restarts(equal[0][0], varying):
        return None
    return equal[0]


def _restarts(count: list[int], varying: list[tuple[list[int], bool]]) -> bool:
    """Whether a count with equal steps may start again as a number before it goes up.

    The days of `01-31.jpg` and `02-01.jpg` do, in a month of pictures.
    """
    before = varying[: next(i for i, column in enumerate(varying) if column[0] is count)]
    runs: dict[tuple[int, ...], list[int]] = defaultdict(list)
    for i, number in enumerate(count):
        runs[tuple(column[0][i] for column in before)].append(number)
    if not 1 < len(runs) <= len(count) // 2:
        return False
    step = np.diff(sorted(count))[0]
    return all((np.diff(sorted(run)) == step).all() for run in runs.values())


def _columns(form: _Form) -> list[tuple[list[int], bool]]:
    """Returns the numbers by their place in the names, and whether they are times.

    "3.25" is one number if it can be a time.
    """
    columns = list(zip(*(row for _, row in form.pictures), strict=True))
    if form.real:
        times = [any("." in text or "," in text for text in column) for column in columns]
        return [
            ([_nanoseconds(text) if is_time else int(text) for text in column], is_time)
            for column, is_time in zip(columns, times, strict=True)
        ]
    found, i = [], 0
    while i < len(columns):
        whole, part = columns[i], columns[i + 1] if i + 1 < len(columns) else ()
        point = form.texts[i + 1] if part else ""
        # Three numbers with points between them are a version or a date.
        alone = form.texts[i][-1:] not in (".", ",") and form.texts[i + 2 : i + 3] != [point]
        dotted = alone and point in (".", ",") and part
        if dotted and _is_time(whole, part):
            both = zip(whole, part, strict=True)
            found.append(([_nanoseconds(f"{a}.{b}") for a, b in both], True))
            i += 2
        elif dotted and len(set(whole)) > 1 and len(set(part)) > 1:
            raise AmbiguousNames(
                f"{whole[0]}{point}{part[0]} and its like may be times or pairs of counts; give "
                "them equally many decimals"
            )
        else:
            found.append((list(map(int, whole)), False))
            i += 1
    return found


def _is_time(whole: Sequence[str], part: Sequence[str]) -> bool:
    """Whether pairs of numbers with a point between them are decimals rather than two counts.

    Guessed: decimals have equally many places, or end in 0 only as in "1.0".
    """
    if len({len(text) for text in part}) == 1:
        return len(set(whole)) > 1 and len(set(part)) > 1
    return not any(text.endswith("0") and text != "0" for text in part)


def _nanoseconds(text: str) -> int:
    """Returns a decimal number in units of 1 / `PER_SECOND`."""
    whole, _, part = text.replace(",", ".").partition(".")
    if len(part) > 9:
        raise ValueError(f"{text} has more than nine decimals")
    return int(whole + part.ljust(9, "0"))


def _stem(name: str) -> str:
    return name[: name.rindex(".")]


def _which_of(videos: dict[str, _Form]) -> str:
    """Returns the message for several groups of pictures that may be the frames."""
    sizes = sorted(videos.items(), key=lambda item: -len(item[1].pictures))
    shown = [f"{title} ({len(form.pictures)} pictures)" for title, form in sizes[:_MOST_SHOWN]]
    more = [f"{len(sizes) - _MOST_SHOWN} more"] if len(sizes) > _MOST_SHOWN else []
    message = f"{len(videos)} groups of pictures may be its frames: {', '.join([*shown, *more])}; "
    pattern = _pattern(*sizes[0], [form for _, form in sizes[1:]])
    if sizes[0][1].part:
        choice = f"choose one by its names, such as {OPTION} '{pattern}'" if pattern else ""
        return (
            f"{message}more than one number varies. If they are one video, rename the pictures so "
            "that one number orders them; if each is a video, move each to a folder of its own"
            + (f", or {choice}" if choice else "")
        )
    if pattern:
        message += f"choose one by its names, such as {OPTION} '{pattern}'"
    else:
        message += "move all but one to other folders"
    return message + ", or give each picture one number"


def _what_of(single: list[str], candidates: dict[str, _Form], frames: _Form) -> str:
    """Returns the message for single pictures whose names have other forms than the frames."""
    title = next(title for title, form in candidates.items() if form is frames)
    others = [form for form in candidates.values() if form is not frames]
    more = [f"{len(single) - _MOST_SHOWN} more"] if len(single) > _MOST_SHOWN else []
    pattern = _pattern(title, frames, others) if len(frames.pictures) > 1 else ""
    choice = f"choose the frames with {OPTION} '{pattern}'" if pattern else "move them elsewhere"
    count, names = len(frames.pictures), ", ".join([*single[:_MOST_SHOWN], *more])
    return (
        f"{count} picture{' is' if count == 1 else 's are'} like {title}, but the names of "
        f"{len(single)} have other forms: {names}. If they are frames, rename all so that one "
        f"number orders them; if not, {choice}"
    )


def _pattern(title: str, form: _Form, others: Sequence[_Form]) -> str:
    """Returns a pattern for `OPTION` that all names of a group match and no other; or ""."""
    loose = title.replace("#", "*") + ("" if title.endswith("#") else ".*")
    if title.startswith("#"):
        loose = "[0-9]" + loose
    numbers = ["".join("[0-9]" for _ in text) for text in form.pictures[0][1]]
    strict = "".join(a + b for a, b in zip(form.texts, [*numbers, ".*"], strict=True))
    rest = [name for other in others for name, _ in other.pictures]
    ending = re.sub(r"\*$|\*\.\*$", "*[0-9].*", loose) if title.endswith("#") else loose
    for pattern in (loose, strict, ending):
        if all(matches(name, pattern) for name, _ in form.pictures):
            if not any(matches(name, pattern) for name in rest):
                return pattern
    return ""
