"""Datasets prepared by TensorFlow Datasets, read without TensorFlow.

Preparing a dataset needs TensorFlow, once, in any environment; `ucf101` downloads 6.5 GB and needs
ffmpeg:

    pip install tensorflow tensorflow-datasets
    tfds build ucf101/ucf101_1 --file_format=array_record --data_dir FOLDER

A video is stored as a list of pictures. Only the pictures of a clip are decoded.
"""

import contextlib
import functools
import types
from collections.abc import Callable
from typing import Any
from unittest import mock

import cv2
import numpy as np

from afn_jax.data.config import DataConfig
from afn_jax.data.source import Clip, Skipped, Video, VideoReadError
from afn_jax.data.sources.lists.splits import check_split
from afn_jax.data.sources.spec import SourceSpec
from afn_jax.data.transforms.crops import SpatialTransform


class TfdsVideo(Video):
    """One labeled video, read when first used.

    Attributes:
        name: `dataset/config/split/number`.
    """

    def __init__(self, source: "TfdsVideos", index: int):
        self.name: str = f"{source.name}/{index}"
        self._source = source
        self._index = index

    @functools.cached_property
    def _example(self) -> tuple[Any, int]:
        return self._source.read(self._index)

    @property
    def label(self) -> int:
        """0-based class."""
        return self._example[1]

    @property
    def num_frames(self) -> int:
        """Number of frames."""
        return len(self._example[0])

    def clip(self, indices: np.ndarray) -> Clip:
        """Returns the frames at `indices`. Raises `VideoReadError` if a picture is damaged."""
        pictures = self._example[0]
        decoded = {int(i): self._decode(pictures[int(i)]) for i in np.unique(indices)}
        frames = np.stack([decoded[int(i)] for i in indices])
        height, width = frames.shape[1:3]
        short_side = self._source.short_side or min(height, width)
        scale = short_side / min(height, width)
        size = max(1, round(height * scale)), max(1, round(width * scale))
        return SpatialTransform(0, 0, height, width, size).apply(Clip(frames))

    def _decode(self, picture: bytes | np.ndarray) -> np.ndarray:
        """`[H, W, 3]` uint8, RGB."""
        image = picture
        if isinstance(picture, bytes):
            image = cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_COLOR_RGB)
        if image is None:
            raise VideoReadError(f"{self.name}: a frame cannot be decoded")
        return np.broadcast_to(image, (*image.shape[:2], 3))  # gray pictures have one channel


class TfdsVideos:
    """The videos of one split of a prepared dataset, a `Source` with random access.

    Attributes:
        name: `dataset/config/split`.
        class_names: indexed by label.
        short_side: frames are resized to this shorter side, in pixels; None: unchanged.
        skipped: always empty, because records are read only during training.
    """

    skipped: tuple[Skipped, ...] = ()

    def __init__(
        self,
        name: str,
        *,
        split: str = "train",
        data_dir: str | None = None,
        short_side: int | None = None,
    ):
        """Opens a dataset.

        Args:
            name: name of the dataset, with its config and version if needed: `ucf101/ucf101_1`.
            split: "train" or "test"; without a test split, the validation split is used.
            data_dir: the folder where it was prepared; None: the default of TensorFlow Datasets.
            short_side: shorter side of the frames in pixels.

        Raises:
            ValueError: the dataset does not exist, is not prepared as array records, or has no
                videos with classes.
            ModuleNotFoundError: TensorFlow Datasets is not installed.
        """
        check_split(split)
        tfds = _tensorflow_datasets()
        with _without_tensorflow():
            builder = _prepared_builder(tfds, name, data_dir)
            features = builder.info.features
        self._video = _only_feature(features, tfds.features.Video, name)
        self._label = _only_feature(features, tfds.features.ClassLabel, name)
        splits = list(builder.info.splits)
        wanted = "validation" if split == "test" and "test" not in splits else split
        if wanted not in splits:
            raise ValueError(f"data.tfds_name: {name!r} has no {split} split, only {splits}")
        decoders = {self._video: _undecoded(tfds)}
        self._records = builder.as_data_source(split=wanted, decoders=decoders)
        self.name: str = f"{name}/{wanted}"
        self._arguments = {
            "name": name,
            "split": split,
            "data_dir": data_dir,
            "short_side": short_side,
        }
        self.class_names: tuple[str, ...] = tuple(features[self._label].names)
        self.short_side = short_side

    def __reduce__(self) -> tuple[Callable[[], "TfdsVideos"], tuple[()]]:
        # Worker processes reopen the files: decoders belong to one process.
        return functools.partial(TfdsVideos, **self._arguments), ()

    def __len__(self) -> int:
        return len(self._records)

    def __getitem__(self, index: int) -> TfdsVideo:
        return TfdsVideo(self, range(len(self))[index])  # raises IndexError, which ends a loop

    def read(self, index: int) -> tuple[Any, int]:
        """Returns the pictures, each encoded or `[H, W, C]` uint8, and the label of one video."""
        example = self._records[index]
        return example[self._video], int(example[self._label])


def _tensorflow_datasets():
    try:
        import tensorflow_datasets
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"the tfds source needs {error.name}, which is not installed. Install it with "
            "pip install -e '.[tfds]'",
            name=error.name,
        ) from None
    return tensorflow_datasets


def _prepared_builder(tfds, name: str, data_dir: str | None):
    prepare = f"tfds build {name} --file_format=array_record" + (
        f" --data_dir {data_dir}" if data_dir else ""
    )
    from tensorflow_datasets.core import read_only_builder

    try:
        # From the files alone: the code of a dataset, which made them, imports TensorFlow.
        builder = read_only_builder.builder_from_files(name, data_dir=data_dir or None)
    except tfds.core.DatasetNotFoundError:
        builder = None
    if builder is None or not builder.is_prepared():
        where = repr(data_dir) if data_dir else "the default folder of TensorFlow Datasets"
        raise ValueError(
            f"data.root: {name!r} is not prepared in {where}. Prepare it once, where TensorFlow is "
            f"installed: {prepare}"
        )
    file_format = builder.info.file_format.value
    if file_format != "array_record":
        raise ValueError(
            f"data.root: {name!r} is prepared in the format {file_format}, which has no random "
            f"access. Prepare it again: {prepare}"
        )
    return builder


@contextlib.contextmanager
def _without_tensorflow():
    """Makes it possible to construct a `Video` feature without TensorFlow.

    Its constructor (TensorFlow Datasets 4.9.10) uses TensorFlow only to look up the type uint8,
    which NumPy provides too. Nothing else between the files and the frames needs TensorFlow.
    """
    from tensorflow_datasets.core.features import video_feature

    numpy_types = types.SimpleNamespace(dtypes=types.SimpleNamespace(as_dtype=np.dtype))
    with mock.patch.object(video_feature, "tf", numpy_types):
        yield


def _undecoded(tfds):
    """Returns a decoder that leaves all pictures of a video encoded (`SkipDecoding`: one)."""

    class Undecoded(tfds.decode.SkipDecoding):
        def decode_batch_example_np(self, pictures):
            return pictures

    return Undecoded()


def _only_feature(features, kind: type, name: str) -> str:
    found = [key for key, feature in features.items() if isinstance(feature, kind)]
    if len(found) != 1:
        raise ValueError(
            f"data.tfds_name: {name!r} has {len(found)} features of the kind {kind.__name__}, but "
            f"action recognition needs one; its features are {', '.join(features)}"
        )
    return found[0]


def _create(config: DataConfig, split: str, seed: int) -> TfdsVideos:
    name = config.tfds_name
    if name == "ucf101":  # it has one config per official split
        name = f"ucf101/ucf101_{config.list_number}"
    for field in ("classes", "annotations"):
        if getattr(config, field):
            raise ValueError(f"data.{field}: the tfds source has no such option. Leave it out.")
    return TfdsVideos(name, split=split, data_dir=config.root, short_side=config.short_side)


SOURCE = SourceSpec(
    _create,
    "prepared by TensorFlow Datasets; see --data.tfds-name",
    split="its own; read without TensorFlow",
    knows_lengths=False,  # they are not stored
)
