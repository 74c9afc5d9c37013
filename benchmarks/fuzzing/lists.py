"""Parsers of lists of videos: UCF101, HMDB51, CSV, Kinetics and others."""

from collections.abc import Callable
from pathlib import Path

from afn_jax.data.sources.lists.activitynet import read_activitynet
from afn_jax.data.sources.lists.csv_list import read_csv
from afn_jax.data.sources.lists.hmdb51 import NUM_CLASSES, read_hmdb51
from afn_jax.data.sources.lists.kinetics import read_kinetics
from afn_jax.data.sources.lists.something_something import read_something_something
from afn_jax.data.sources.lists.thumos14 import read_thumos14
from afn_jax.data.sources.lists.ucf101 import read_class_names, read_list_by_folder
from afn_jax.data.sources.lists.video_folder import read_video_folder
from afn_jax.data.sources.lists.video_list import VideoList, choose_classes
from benchmarks.fuzzing.formats import compact_json
from benchmarks.fuzzing.mutations import mutate_json
from benchmarks.fuzzing.parser import Files, Parser, require

_CLASSES = ("Archery", "Bowling", "Jump Rope")
_VIDEOS = [f"{name}/v_{i}.avi" for name in _CLASSES for i in range(3)]


def check_list(videos: VideoList) -> None:
    """The promises of `VideoList` and `Entry`."""
    names = videos.class_names
    require(len(set(names)) == len(names), "class names repeat")
    require(all(isinstance(name, str) for name in names), "a class name is not text")
    for entry in videos.entries:
        require(
            type(entry.label) is int and 0 <= entry.label < len(names), f"label {entry.label!r}"
        )
        require(isinstance(entry.path, str) and entry.path != "", f"path {entry.path!r}")
        for time in (entry.start, entry.end):
            require(time is None or isinstance(time, float), f"time {time!r}")


def _reader(read: Callable, splits: tuple[str, ...] = ("train", "test")):
    def check(folder: Path) -> None:
        errors = []
        for split in splits:
            try:
                check_list(read(folder / "videos", split, folder / "lists", 1))
            except ValueError as error:
                errors.append(error)
        if errors:
            raise errors[0]

    return check


def _ucf_seeds() -> list[Files]:
    files: Files = {f"videos/{name}": b"" for name in _VIDEOS}
    classes = "".join(f"{i} {name}\n" for i, name in enumerate(_CLASSES, 1))
    numbered = [f"{name} {i // 3 + 1}\n" for i, name in enumerate(_VIDEOS)]
    files["lists/classInd.txt"] = classes.encode()
    files["lists/trainlist01.txt"] = "".join(numbered[::2]).encode()
    files["lists/testlist01.txt"] = "".join(f"{name}\n" for name in _VIDEOS[1::2]).encode()
    crlf = dict(files)
    for name in [name for name in files if name.startswith("lists/")]:
        crlf[name] = b"\xef\xbb\xbf" + files[name].replace(b"\n", b"\r\n")
    return [files, crlf]


def _read_class_files(folder: Path) -> None:
    names = read_class_names(folder / "lists" / "classInd.txt")
    require(bool(names) and all(name.strip() for name in names), "an empty name")
    entries, numbers = read_list_by_folder(folder / "lists" / "trainlist01.txt", names)
    require(all(-1 <= entry.label < len(names) for entry in entries), "label")
    require(all(0 <= label < len(names) for _, label in numbers), "label of a number")


def _chosen_seeds() -> list[Files]:
    return [{"classes.txt": "\n".join(_CLASSES[:2]).encode()}]


def _read_chosen(folder: Path) -> None:
    everything = VideoList(_CLASSES, (), "videos")
    chosen = choose_classes(everything, (str(folder / "classes.txt"),))
    require(set(chosen.class_names) <= set(_CLASSES), "classes")


def _hmdb_seeds() -> list[Files]:
    files: Files = {"videos/x.avi": b""}
    for number in range(NUM_CLASSES):
        lines = "".join(f"Name_{number}_{i}.avi {i % 3} \n" for i in range(4))
        files[f"lists/class_{number:02d}_test_split1.txt"] = lines.encode()
    return [files]


def _csv_seeds() -> list[Files]:
    rows = [f"{name},{name.split('/')[0]}" for name in _VIDEOS]
    timed = [f"{row},{i}.5,{i + 2}" for i, row in enumerate(rows)]
    marked = [f"{row},{('train', 'test')[i % 2]}" for i, row in enumerate(rows)]
    numbers = [f'"{name}";{i % 3};;' for i, name in enumerate(_VIDEOS)]
    texts = (
        ["path,label", *rows],
        timed,
        ["path,label,split", *marked],
        ["path;label;start;end", *numbers],
        ["\t".join(row.split(",")) for row in rows],
        ["sep=;", "path;label", *(row.replace(",", ";") for row in rows)],
        [",path,label,", *(f"{i},{row}," for i, row in enumerate(rows))],
        ["path|label", *(f"{name}|{i % 3}.0" for i, name in enumerate(_VIDEOS))],
    )
    return [{"lists/train.csv": "\n".join(text).encode()} for text in texts]


def _kinetics_seeds() -> list[Files]:
    header = "label,youtube_id,time_start,time_end,split\n"
    rows = [f'"{name}",id_{i},{10 * i},{10 * i + 10},' for i, name in enumerate(_CLASSES * 2)]
    train = header + "".join(f"{row}train\n" for row in rows)
    val = header + "".join(f"{row}val\n" for row in rows[:3])
    return [{"lists/train.csv": train.encode(), "lists/val.csv": val.encode()}]


def _something_seeds() -> list[Files]:
    labels = {name: str(i) for i, name in enumerate(("Pushing something", "Lifting something up"))}
    items = [
        {"id": str(i), "label": "pushing a cup", "template": name, "placeholders": ["a cup"]}
        for i, name in enumerate(("Pushing [something]", "Lifting [something] up") * 2)
    ]
    return [
        {
            "lists/labels.json": compact_json(labels),
            "lists/train.json": compact_json(items),
            "lists/validation.json": compact_json(items[:2]),
        }
    ]


def _activitynet_seeds() -> list[Files]:
    database = {
        f"id{i}": {
            "subset": ("training", "validation", "testing")[i % 3],
            "duration": 20.5,
            "url": "https://example.org",
            "annotations": [] if i % 3 == 2 else [{"segment": [1.5, 7 + i], "label": name}],
        }
        for i, name in enumerate(_CLASSES * 2)
    }
    content = {"version": "VERSION 1.2", "taxonomy": [], "database": database}
    return [{"lists/activity_net.v1-2.min.json": compact_json(content)}]


def _thumos_seeds() -> list[Files]:
    files: Files = {}
    for name in ("Billiards", "CliffDiving", "Ambiguous"):
        for part, kind in (("val", "validation"), ("test", "test")):
            lines = "".join(f"video_{kind}_{i:07d}  {i}.5 {i + 3}.25\n" for i in range(1, 4))
            files[f"lists/{name}_{part}.txt"] = lines.encode()
    return [files]


def _names_seeds() -> list[Files]:
    return [{"names.txt": "\n".join([*_VIDEOS, "notes.txt", "A/B/c.mp4"]).encode()}]


def _read_names(folder: Path) -> None:
    """Lists a folder of files with the names in a text: strange names must not stop the listing."""
    root = folder / "videos"
    made = 0
    for line in (folder / "names.txt").read_bytes().split(b"\n")[:40]:
        name = Path(line.decode("utf-8", "surrogateescape"))
        try:
            if name.is_absolute() or ".." in name.parts or len(name.parts) > 20:
                continue
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).touch()
            made += 1
        except (OSError, ValueError):  # a name that the file system does not take
            continue
    if made:
        for split in ("train", "test"):
            check_list(read_video_folder(root, split, None, 1))


_ERRORS = ("ValueError",)
_LISTS = (".txt", ".csv", ".json")

PARSERS = [
    Parser(
        "UCF101 lists",
        "read_video_folder",
        _ERRORS,
        _ucf_seeds,
        _reader(read_video_folder),
        text=True,
        mutable=_LISTS,
    ),
    Parser(
        "class files",
        "read_class_names, read_list_by_folder",
        _ERRORS,
        _ucf_seeds,
        _read_class_files,
        text=True,
        mutable=_LISTS,
    ),
    Parser("data.classes", "choose_classes", _ERRORS, _chosen_seeds, _read_chosen, text=True),
    Parser(
        "HMDB51 lists",
        "read_hmdb51",
        _ERRORS,
        _hmdb_seeds,
        _reader(read_hmdb51),
        text=True,
        mutable=_LISTS,
        cost=4,
    ),
    Parser("CSV lists", "read_csv", _ERRORS, _csv_seeds, _reader(read_csv), text=True),
    Parser(
        "Kinetics CSV", "read_kinetics", _ERRORS, _kinetics_seeds, _reader(read_kinetics), text=True
    ),
    Parser(
        "Something-Something JSON",
        "read_something_something",
        _ERRORS,
        _something_seeds,
        _reader(read_something_something),
        text=True,
        reshape=mutate_json,
    ),
    Parser(
        "ActivityNet JSON",
        "read_activitynet",
        _ERRORS,
        _activitynet_seeds,
        _reader(read_activitynet),
        text=True,
        reshape=mutate_json,
    ),
    Parser(
        "THUMOS14 lists", "read_thumos14", _ERRORS, _thumos_seeds, _reader(read_thumos14), text=True
    ),
    Parser(
        "file names",
        "read_video_folder",
        _ERRORS,
        _names_seeds,
        _read_names,
        text=True,
        cost=4,
    ),
]
