"""Datasets of TensorFlow Datasets: a small `ucf101` prepared here, and its fake data."""

import json
import pickle
import subprocess
import sys

import cv2
import numpy as np
import pytest

from afn_jax.data.config import DataConfig
from afn_jax.data.source import VideoReadError
from afn_jax.data.sources import create_source
from afn_jax.data.sources.tfds import TfdsVideos

CLASSES = ["walk", "jump"]
FEATURES = "tensorflow_datasets.core.features"
CONFIG = DataConfig(source="tfds", num_frames=3, size=(8, 8), short_side=12)


@pytest.fixture(scope="module")
def tfds():
    reason = "tensorflow-datasets is not installed: pip install -e '.[tfds]'"
    return pytest.importorskip("tensorflow_datasets", reason=reason)


def color(number, t):
    """RGB of frame t of a video."""
    return 40 * number + 10 * t, 100, 250


def encoded(number, t):
    image = np.full((12, 20, 3), color(number, t)[::-1], np.uint8)
    return cv2.imencode(".png", image)[1].tobytes()


@pytest.fixture
def prepare(tfds, tmp_path):
    """Writes the same files as `tfds build`, without its code."""
    from array_record.python.array_record_module import ArrayRecordWriter
    from tensorflow_datasets.proto import tf_example_pb2, tf_feature_pb2

    def write(splits=("train", "test"), file_format="array_record", damaged=(), **more):
        folder = tmp_path / "ucf101" / "ucf101_1" / "2.0.0"
        folder.mkdir(parents=True)
        label = {"pythonClassName": f"{FEATURES}.class_label_feature.ClassLabel"}
        label["classLabel"] = {"numClasses": str(len(CLASSES))}
        video = {"pythonClassName": f"{FEATURES}.video_feature.Video"}
        video["video"] = {
            "shape": {"dimensions": ["-1", "12", "20", "3"]},
            "dtype": "uint8",
            "encodingFormat": "png",
        }
        content = {"video": video, "label": label} | dict.fromkeys(more, label)
        features = {"pythonClassName": f"{FEATURES}.features_dict.FeaturesDict"}
        features["featuresDict"] = {"features": content}
        (folder / "features.json").write_text(json.dumps(features))
        for name in ("label", *more):
            (folder / f"{name}.labels.txt").write_text("\n".join(CLASSES))
        for split in splits:
            path = folder / f"ucf101-{split}.{file_format}-00000-of-00001"
            writer = ArrayRecordWriter(str(path), "group_size:1")
            for number in range(3):
                pictures = [encoded(number, t) for t in range(4 + number)]
                if number in damaged:
                    pictures[2] = b"no picture"
                features = {
                    "video": tf_feature_pb2.Feature(
                        bytes_list=tf_feature_pb2.BytesList(value=pictures)
                    ),
                    "label": tf_feature_pb2.Feature(
                        int64_list=tf_feature_pb2.Int64List(value=[number % 2])
                    ),
                }
                example = tf_example_pb2.Example(features=tf_feature_pb2.Features(feature=features))
                writer.write(example.SerializeToString())
            writer.close()
        about = {
            "name": "ucf101",
            "configName": "ucf101_1",
            "version": "2.0.0",
            "fileFormat": file_format,
            "splits": [{"name": s, "shardLengths": ["3"], "numBytes": "0"} for s in splits],
        }
        (folder / "dataset_info.json").write_text(json.dumps(about))
        return str(tmp_path)

    return write


def test_videos(prepare):
    root = prepare()
    train, test = (
        create_source(DataConfig(**{**vars(CONFIG), "root": root}), split, 0)
        for split in ("train", "test")
    )
    assert train.class_names == tuple(CLASSES)
    assert [(v.name, v.label, v.num_frames, v.has_flow) for v in train] == [
        (f"ucf101/ucf101_1/train/{i}", i % 2, 4 + i, False) for i in range(3)
    ]
    assert not {v.name for v in train} & {v.name for v in test} and len(test) == 3
    video = pickle.loads(pickle.dumps(train))[1]
    clip = video.clip(np.array([4, 0, 0]))
    assert clip.frames.dtype == np.uint8 and clip.flows is None
    np.testing.assert_array_equal(clip.frames[:, 5, 7], [color(1, t) for t in (4, 0, 0)])
    assert clip.frames.shape == (3, 12, 20, 3)
    half = TfdsVideos("ucf101/ucf101_1", data_dir=root, short_side=6)[1].clip(np.arange(2))
    assert half.frames.shape == (2, 6, 10, 3)


def test_no_tensorflow_in_the_process(prepare):
    code = (
        "import sys; from afn_jax.data.sources.tfds import TfdsVideos; import numpy as np; "
        f"print(TfdsVideos('ucf101/ucf101_1', data_dir={prepare()!r})[0].clip(np.arange(2)).frames"
        ".shape, 'tensorflow' in sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout == "(2, 12, 20, 3) False\n", result.stderr


def test_only_the_frames_of_a_clip_are_decoded(prepare):
    video = TfdsVideos("ucf101/ucf101_1", data_dir=prepare(damaged=[1]))[1]
    assert video.clip(np.array([0, 1, 3])).frames.shape[0] == 3
    with pytest.raises(VideoReadError, match="ucf101/ucf101_1/train/1: a frame cannot be decoded"):
        video.clip(np.array([1, 2]))


def test_fake_data_of_tensorflow_datasets(tfds, prepare, monkeypatch):
    from tensorflow_datasets.core.features import image_feature

    # Fake data needs TensorFlow only for encoding PNG images.
    monkeypatch.setattr(
        image_feature._ImageEncoder,
        "_encode_image",
        lambda self, image: cv2.imencode(".png", image)[1].tobytes(),
    )
    root = prepare()
    policy = tfds.testing.MockPolicy.USE_FILES
    with tfds.testing.mock_data(num_examples=5, data_dir=root, policy=policy):
        source = TfdsVideos("ucf101/ucf101_1", data_dir=root)
        assert len(source) == 5
        clip = source[4].clip(np.array([0, 0]))
        assert clip.frames.shape == (2, 12, 20, 3) and source[4].label in (0, 1)


def test_validation_replaces_a_missing_test_split(prepare):
    root = prepare(splits=("train", "validation"))
    assert TfdsVideos("ucf101/ucf101_1", data_dir=root, split="test")[0].label == 0


@pytest.mark.parametrize(
    ("options", "name", "split", "message"),
    [
        ({"splits": ("test",)}, "ucf101_1", "train", r"has no train split, only \['test'\]"),
        ({"file_format": "tfrecord"}, "ucf101_1", "train", "format tfrecord, which has no random"),
        ({}, "ucf101_2", "train", "not prepared in .*tfds build ucf101/ucf101_2 --file_format"),
        ({}, "ucf101_1", "val", "split: got 'val'"),
        ({"second_label": 0}, "ucf101_1", "train", "has 2 features of the kind ClassLabel"),
    ],
)
def test_rejects_wrong_datasets(prepare, options, name, split, message):
    with pytest.raises(ValueError, match=message):
        TfdsVideos(f"ucf101/{name}", data_dir=prepare(**options), split=split)


def test_rejects_options_that_tfds_does_not_have(tmp_path):
    config = DataConfig(source="tfds", root=str(tmp_path), classes=("walk",))
    with pytest.raises(ValueError, match="data.classes: the tfds source has no such option"):
        create_source(config, "train", 0)


def test_reports_a_missing_package(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install -e '\.\[tfds\]'"):
        TfdsVideos("ucf101/ucf101_1", data_dir=str(tmp_path))
