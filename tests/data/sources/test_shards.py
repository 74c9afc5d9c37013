"""Clips from shards match the frames and flows that were stored."""

import dataclasses
import json
import pickle
import struct
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
from array_record.python.array_record_module import ArrayRecordReader

from afn_jax.data.config import DataConfig
from afn_jax.data.prepare.run import prepare
from afn_jax.data.shards.flow_codec import FlowFormat
from afn_jax.data.shards.frame_codec import FrameFormat, decode_frames, encode_frames
from afn_jax.data.shards.manifest import PreparedDataset, StoredFlow, describe_split
from afn_jax.data.shards.record import ShardWriter, read_index, read_records
from afn_jax.data.source import VideoReadError
from afn_jax.data.sources import create_source
from afn_jax.data.sources.shards import Shards
from afn_jax.data.sources.synthetic_motion import SyntheticMotion
from afn_jax.data.teacher import create_teacher

SOURCE = SyntheticMotion(5, size=(30, 41), num_frames=11)


def make(folder, *, frames=None, flow=None, source=SOURCE, num_shards=2):
    frames = frames or FrameFormat(group=4)
    splits = {"train": describe_split(source, num_shards)}
    dataset = PreparedDataset(source.class_names, frames, flow, splits, {"root": "x"})
    prepare(folder, dataset, {"train": source}, workers=1)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make(tmp_path_factory.mktemp("jpeg"), flow=StoredFlow("own"))


def as_jpeg(frames, quality=95):
    """Returns frames after JPEG compression."""
    return np.stack(
        [
            cv2.imdecode(
                cv2.imencode(".jpg", frame[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1], 1
            )[..., ::-1]
            for frame in frames
        ]
    )


@pytest.mark.parametrize("indices", [range(11), [10, 0, 0, 5], [3, 4], [8], [7, 3]])
def test_clips(folder, indices):
    source = Shards(folder)
    assert len(source) == 5 and source.class_names == SOURCE.class_names and not source.skipped
    for i in range(len(source)):
        video, original = source[i], SOURCE[i]
        assert (video.name, video.label) == (original.name, original.label)
        assert (video.num_frames, video.size, video.has_flow) == (11, (30, 41), True)
        clip, expected = video.clip(np.array(indices)), original.clip(np.array(indices))
        np.testing.assert_array_equal(clip.frames, as_jpeg(expected.frames))
        np.testing.assert_array_equal(clip.flow_mask, expected.flow_mask)
        error = np.linalg.norm(clip.flows - expected.flows, axis=-1)
        assert error[expected.flow_mask].mean() < 0.15


@pytest.mark.parametrize(("codec", "quality"), [("h264", 12), ("vp9", 20)])
def test_video_codecs(tmp_path, codec, quality):
    flow = StoredFlow("dis", stride=2)
    make(tmp_path, frames=FrameFormat(codec, quality, group=4), flow=flow)
    source = Shards(tmp_path)
    for indices in (np.arange(11), np.array([9, 2, 2]), np.array([10])):
        clip, expected = source[3].clip(indices), SOURCE[3].clip(indices).frames
        error = clip.frames.astype(float) - expected
        assert 10 * np.log10(255**2 / (error**2).mean()) > 30  # dB
        others = SOURCE[3].clip(np.maximum(indices - 1, 0) + (indices == 0)).frames
        assert (error**2).mean() < 0.2 * ((expected - others.astype(float)) ** 2).mean()


def test_teacher_flow_with_a_stride(tmp_path):
    make(tmp_path, flow=StoredFlow("dis", stride=3, form=FlowFormat(quality=100)))
    clip = Shards(tmp_path)[1].clip(np.arange(11))
    frames = SOURCE[1].clip(np.arange(11)).frames
    for i in range(11):
        assert clip.flow_mask[i].all() if i + 3 < 11 else not clip.flow_mask[i].any()
    expected = create_teacher("dis")(frames[[4, 7]])[0]
    assert np.linalg.norm(clip.flows[4] - expected, axis=-1).mean() < 0.08
    without = Shards(tmp_path, with_flow=False)[1]
    assert not without.has_flow and without.clip(np.arange(2)).flows is None


def test_threads_and_processes_read_the_same(folder):
    source = pickle.loads(pickle.dumps(Shards(folder)))
    wanted = [(i % 5, np.arange(i % 7, i % 7 + 4)) for i in range(60)]
    expected = [source[i].clip(indices).frames for i, indices in wanted]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda item: source[item[0]].clip(item[1]).frames, wanted))
    np.testing.assert_array_equal(found, expected)


def test_layout(folder):
    """Reads the documented record layout without our reader."""
    reader = ArrayRecordReader(str(folder / "train-00001-of-00002.arrayrecord"))
    assert reader.writer_options_string().startswith("group_size:1,")
    *groups, index = reader.read_all()
    assert len(groups) == 2 * 3  # two videos of 11 frames, in groups of 4
    count, *sizes = struct.unpack_from("<9I", groups[0])
    assert count == 8 and sum(sizes) + 36 == len(groups[0])  # 4 pictures and 4 flows
    picture = cv2.imdecode(np.frombuffer(groups[0], np.uint8, sizes[0], 36), 1)
    np.testing.assert_array_equal(picture[..., ::-1], as_jpeg(SOURCE[1].clip([0]).frames)[0])
    videos = json.loads(index[8:])["videos"]
    assert [(v["name"], v["place"], v["record"]) for v in videos] == [
        ("train-0-1", 1, 0),
        ("train-0-3", 3, 3),
    ]


def test_rejects_settings_that_contradict_the_shards(folder, caplog):
    def opened(**fields):
        data = DataConfig(source="shards", root=str(folder), num_frames=4, **fields)
        return create_source(data, "train", 0)

    for fields, message in (
        ({"list_number": 2}, "data.list_number: got 2, but .* was prepared with 1. Use that"),
        ({"classes": ("a", "b")}, "data.classes: got .* was prepared with ()"),
        ({"annotations": "list.csv"}, "data.annotations: shards contain the lists"),
    ):
        with pytest.raises(ValueError, match=message):
            opened(**fields)
    opened(size=(8, 8))
    opened(size=(8, 8), brighten="gamma")  # exact flow holds for dark frames too
    assert not caplog.records
    opened(size=(224, 224), short_side=256)
    assert "; prepare them with --data.short-side 256" in caplog.text


def test_warns_of_flow_estimated_without_brightening(tmp_path, caplog):
    folder = make(tmp_path, flow=StoredFlow("dis"))
    data = DataConfig(source="shards", root=str(folder), num_frames=4, size=(8, 8))
    create_source(data, "train", 0)
    create_source(dataclasses.replace(data, brighten="auto", stored_flow=False), "train", 0)
    assert not caplog.records
    create_source(dataclasses.replace(data, brighten="auto"), "train", 0)
    assert "estimated without brightening, but data.brighten is 'auto'" in caplog.text


def test_rejects_indices_outside_a_video(folder):
    for indices in ([11], [-1], [3, 50]):
        with pytest.raises(ValueError, match="which has 11 frames; allowed: 0 to 10"):
            Shards(folder)[0].clip(np.array(indices))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "dataset.json").unlink(), "has no dataset.json"),
        (lambda folder: (folder / "dataset.json").write_text("{"), "is damaged"),
        (lambda folder: (folder / "dataset.json").write_text('{"version": 1}'), "is damaged"),
        (lambda folder: (folder / "dataset.json").write_text('{"version": 2}'), "version 2"),
        (
            lambda folder: (folder / "train-00001-of-00002.arrayrecord").unlink(),
            "1 of 2 train shards are missing, train-00001-of-00002.arrayrecord",
        ),
        (
            lambda folder: (folder / "train-00000-of-00002.arrayrecord").write_bytes(b"x" * 99),
            "shard is damaged",
        ),
    ],
)
def test_rejects_unreadable_datasets(tmp_path, damage, message):
    make(tmp_path, source=SyntheticMotion(2, size=(16, 16), num_frames=2))
    with pytest.raises(ValueError, match="split: got 'test'.*prepared with train"):
        Shards(tmp_path, split="test")
    damage(tmp_path)
    with pytest.raises(ValueError, match=message):
        Shards(tmp_path)


def test_reports_a_shard_damaged_after_opening(tmp_path):
    video = Shards(make(tmp_path))[0]
    with open(video.path, "r+b") as file:
        file.seek(2000)
        file.write(bytes(3000))
    with pytest.raises(VideoReadError, match="train-0-0 in .*train-00000-of-00002"):
        video.clip(np.arange(11))


def test_a_writer_leaves_a_complete_shard_or_nothing(tmp_path):
    path = tmp_path / "a.arrayrecord"
    with pytest.raises(KeyError), ShardWriter(path) as writer:
        writer.add([b"abc"])
        raise KeyError
    assert list(tmp_path.iterdir()) == []
    with ShardWriter(path) as writer:
        writer.add([b"abc", b"", b"d"])
        assert not path.exists()
        writer.finish({"videos": []})
    assert list(tmp_path.iterdir()) == [path]
    assert [bytes(part) for part in read_records(path, [0])[0]] == [b"abc", b"", b"d"]
    assert read_index(path) == {"videos": []}
    with pytest.raises(OSError, match="a.arrayrecord"):
        read_records(path, [7])
    with pytest.raises(OSError):
        ShardWriter(tmp_path / "no" / "a.arrayrecord")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (("mp3", 5), "codec: got 'mp3'; allowed: jpeg, h264, vp9"),
        (("jpeg", 0), "quality: got 0; jpeg takes 1 to 100"),
        (("h264", 52), "quality: got 52; h264 takes 0 to 51"),
        (("jpeg", 9, 0), "group: got 0"),
    ],
)
def test_rejects_wrong_frame_formats(settings, message):
    with pytest.raises(ValueError, match=message):
        FrameFormat(*settings)


@pytest.mark.parametrize("codec", ["jpeg", "h264"])
def test_reports_damaged_frames(codec):
    form = FrameFormat(codec, 20)
    parts = encode_frames(np.zeros((3, 16, 16, 3), np.uint8), form)
    with pytest.raises(ValueError, match="of a group"):
        decode_frames([b"x" * 30] * len(parts), [1], form, np.empty((1, 16, 16, 3), np.uint8))
    with pytest.raises(ValueError, match="expected"):
        decode_frames(parts, [1], form, np.empty((1, 18, 16, 3), np.uint8))
