"""What a run writes about the data that it is trained on."""

import dataclasses
import hashlib
import json
import shutil
from pathlib import Path

import pytest

from afn_jax.data.sources.lists.video_list import VideoList, choose_classes
from tests.class_folders import (
    forget,
    listing,
    train_on,
    write_classes,
)
from tests.train.loop_runs import assert_same_state, rows, run
from train.checkpoint import load_record
from train.code_version import code_version
from train.data_record import (
    DataRecord,
    Listed,
    VideoDigest,
    digest_of,
    from_json,
    read_list,
    read_record,
)

pytestmark = pytest.mark.usefixtures("small_network")


@pytest.fixture
def root(tmp_path):
    return write_classes(tmp_path / "videos", "jump", "run")


def test_a_run_records_classes_videos_and_code(tmp_path, root):
    train_on(tmp_path / "run", root)
    step, record = load_record(tmp_path / "run")
    assert step == 4 and record == read_record(tmp_path / "run")
    assert record.class_names == ("jump", "run") and record.changes == ()
    assert record.code == code_version() and record.code.startswith("afn_jax ")
    assert (tmp_path / "run" / "data" / "classes.txt").read_text() == "jump\nrun\n"
    lists = listing(tmp_path / "run")
    every = [
        (f"{name}/{n}.avi", label) for label, name in enumerate(("jump", "run")) for n in range(5)
    ]
    assert sorted(lists["train"] + lists["test"]) == every
    assert (record.train.count, record.test.count) == (8, 2)
    text = "".join(f"{label}\t{name}\n" for name, label in sorted(lists["train"]))
    assert record.train.content == hashlib.sha256(text.encode()).hexdigest()
    videos = read_list(tmp_path / "run", "train", record.train)
    assert [(video.name, video.label) for video in videos] == lists["train"]
    assert all(v.frames == 6 and v.size == (root / v.name).stat().st_size for v in videos)
    rows = [f"{v.label}\t6\t{v.size}\t{v.name}\n" for v in sorted(videos)]
    text = "# label\tframes\tbytes\tname\n" + "".join(rows)
    assert record.train.data == hashlib.sha256(text.encode()).hexdigest()
    saved = (tmp_path / "run" / "checkpoints" / "2" / "record").rglob("*")
    values = [json.loads(p.read_text()) for p in saved if "class_names" in p.read_text()]
    assert [from_json(value) for value in values] == [record]


def test_a_moved_root_is_the_same_data(tmp_path, root):
    train_on(tmp_path / "run", root, steps=2)
    root.rename(tmp_path / "moved")
    _, text = train_on(tmp_path / "run", tmp_path / "moved")
    assert "resumed at step 2" in text and "warning" not in text
    assert load_record(tmp_path / "run")[1].changes == ()


def test_a_resumed_run_equals_an_uninterrupted_one(tmp_path, root):
    whole, _ = train_on(tmp_path / "whole", root)
    train_on(tmp_path / "run", root, steps=2)
    resumed, _ = train_on(tmp_path / "run", root)
    assert_same_state(resumed.state, whole.state)
    assert rows(tmp_path / "run") == rows(tmp_path / "whole")
    assert read_record(tmp_path / "run") == read_record(tmp_path / "whole")


def test_generated_videos_are_not_listed(config):
    run(config)
    record = read_record(Path(config.run_dir))
    assert record.train == VideoDigest(64) and record.test == VideoDigest(10)
    assert not listing(Path(config.run_dir))
    forget(Path(config.run_dir))
    _, text = run(dataclasses.replace(config, steps=6))  # their classes cannot change
    assert "resumed at step 4" in text and "warning" not in text


def test_an_older_run_says_once_that_it_cannot_be_checked(tmp_path, root):
    train_on(tmp_path / "run", root, steps=2)
    forget(tmp_path / "run")
    (root / "jump").rename(root / "hop")
    _, text = train_on(tmp_path / "run", root)
    assert text.count("was made before class names were recorded") == 1
    record = load_record(tmp_path / "run")[1]
    assert record.class_names == ("hop", "run")
    assert record.changes == ("step 2: recorded from here on",)
    (root / "hop").rename(root / "jump")
    with pytest.raises(ValueError, match="only in the run: hop; only in the data: jump"):
        train_on(tmp_path / "run", root, steps=6)


def test_a_finished_older_run_is_recorded_when_its_command_is_repeated(tmp_path, root):
    train_on(tmp_path / "run", root, steps=2)
    forget(tmp_path / "run")
    for count in (1, 0):
        _, text = train_on(tmp_path / "run", root, steps=2)
        assert "nothing left to do" in text
        assert text.count("before class names were recorded") == count


def test_a_damaged_record_is_replaced_by_that_of_the_checkpoint(tmp_path, root):
    train_on(tmp_path / "run", root, steps=2)
    (tmp_path / "run" / "data" / "record.json").write_text('{"class_names": ["a"')
    assert load_record(tmp_path / "run")[1].class_names == ("jump", "run")
    shutil.rmtree(tmp_path / "run" / "data")
    assert load_record(tmp_path / "run")[1].class_names == ("jump", "run")
    _, text = train_on(tmp_path / "run", root)
    assert "warning" not in text
    assert read_record(tmp_path / "run").class_names == ("jump", "run")


@pytest.mark.parametrize(
    "values", [None, [], {}, {"class_names": 3}, {"class_names": ["a"], "train": {}}]
)
def test_malformed_records_are_none(values):
    assert from_json(values) is None


def test_the_file_of_class_names_chooses_classes_with_a_line_break(tmp_path):
    names = ("new\nline", "run")
    digest = VideoDigest(0)
    DataRecord(names, digest, digest, "code").save(tmp_path)
    chosen = choose_classes(
        VideoList(names[::-1], (), "videos"), (str(tmp_path / "data" / "classes.txt"),)
    )
    assert chosen.class_names == names


def test_names_of_any_bytes_are_kept(tmp_path):
    names = ["a\udcffb.avi", "tab\tin it.avi", "\u2028.avi", "é.avi"]
    videos = [Listed(name, label) for label, name in enumerate(names)]
    digest = digest_of(videos)
    record = DataRecord(("x\udcff", "y"), digest, digest, "code", (), {"train": videos})
    record.save(tmp_path)
    assert read_list(tmp_path, "train", digest) == videos
    assert read_record(tmp_path) == record
    videos = [Listed(name, None, 3 + n, None) for n, name in enumerate(names)]
    digest = digest_of(videos)
    DataRecord(("x", "y"), digest, digest, "code", (), {"train": videos}).save(tmp_path)
    assert read_list(tmp_path, "train", digest) == videos


def test_reads_the_lists_of_older_versions(tmp_path):
    text = b"1\t3\t4\tb.avi\n0\ta/1.avi\n"  # label and name, which may contain tabs
    digest = hashlib.sha256(text).hexdigest()
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / f"train-{digest[:12]}.txt").write_bytes(text)
    videos = {"count": 2, "content": digest, "order": digest}
    values = {"class_names": ["a", "b"], "train": videos, "test": videos, "code": "", "changes": []}
    record = from_json(values)
    listed = read_list(tmp_path, "train", record.train)
    assert listed == [Listed("3\t4\tb.avi", 1), Listed("a/1.avi", 0)]
