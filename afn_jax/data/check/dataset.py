"""What the doctor knows: the content of the lists, the state of the files, findings."""

import dataclasses

from afn_jax.data.source import Unused

# Numbers of training and test videos in the official splits 1, 2 and 3. The key: name, number of
# classes and a class that identifies the dataset.
OFFICIAL = {
    ("UCF101", 101, "ApplyEyeMakeup"): ((9537, 3783), (9586, 3734), (9624, 3696)),
    ("HMDB51", 51, "brush_hair"): ((3570, 1530), (3570, 1530), (3570, 1530)),
}


@dataclasses.dataclass(frozen=True)
class Listed:
    """One video in the lists.

    Attributes:
        split: "train" or "test".
        name: path relative to the root, with `/`.
        label: 0-based class; -1 if the lists do not give one.
        part: the segment of a longer video; empty for the whole video.
    """

    split: str
    name: str
    label: int
    part: str = ""


@dataclasses.dataclass(frozen=True)
class Finding:
    """One kind of problem and where it occurs.

    Attributes:
        harmful: whether it would stop training or make numbers measured on the dataset wrong.
        what: the problem and how to fix it.
        items: the places where it occurs.
    """

    harmful: bool
    what: str
    items: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Dataset:
    """The content of the lists.

    Attributes:
        kind: description of the lists.
        class_names: indexed by label.
        videos: of both splits, in the order of the lists.
        list_number: number of the split.
        unlisted: videos on disk that are in no list.
        findings: problems of the lists themselves.
        unused: what else lies in the folder, by kind.
        frame_folders: those of the names that are folders of frames.
    """

    kind: str
    class_names: tuple[str, ...]
    videos: tuple[Listed, ...]
    list_number: int = 1
    unlisted: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()
    unused: tuple[Unused, ...] = ()
    frame_folders: frozenset[str] = frozenset()

    def split(self, split: str) -> tuple[Listed, ...]:
        """Returns the videos of "train" or "test"."""
        return tuple(video for video in self.videos if video.split == split)

    def official(self) -> tuple[str, tuple[int, int]] | None:
        """Returns the name and the official (train, test) counts of a known public dataset."""
        for (name, num_classes, example), counts in OFFICIAL.items():
            if len(self.class_names) == num_classes and example in self.class_names:
                if self.list_number <= len(counts):
                    return f"official {name}", counts[self.list_number - 1]
        return None

    def class_name(self, label: int) -> str:
        """Returns the name of a class, or words for a label that the lists do not explain."""
        return self.class_names[label] if 0 <= label < len(self.class_names) else "an unknown class"


@dataclasses.dataclass(frozen=True)
class Inspected:
    """The state of one file.

    Attributes:
        exists: whether it exists.
        num_frames: number of readable frames.
        problem: why it cannot be read to its end; empty if it can.
        oddity: what is unusual about a readable file.
        digest: hash of the content if another file has the same size; else empty.
        file: `identity.file_id`; 0 if unknown.
    """

    exists: bool = True
    num_frames: int = 0
    problem: str = ""
    oddity: str = ""
    digest: str = ""
    file: int = 0

    @property
    def readable(self) -> bool:
        """Whether it exists and can be read to its end."""
        return self.exists and not self.problem
