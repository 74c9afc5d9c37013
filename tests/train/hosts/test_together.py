"""What processes tell each other, with the exchange itself replaced."""

import dataclasses
import os
import re
import threading

import jax
import numpy as np
import pytest

from afn_jax.data.source import Skipped
from tests.small_run import small_config
from train.data_record import DataRecord, Listed, VideoDigest, digest_of
from train.hosts import checks, together
from train.hosts.agreement import Agreement

RECORD = DataRecord(("walk", "run"), VideoDigest(3, "c", "o", "d"), VideoDigest(2), "1")


def as_if_gathered(monkeypatch, own, other):
    """Lets a check see `own` of process 0 on a, and `other` of process 1 on b."""
    found = [["process 0 on a", *own], ["process 1 on b", *other]]
    monkeypatch.setattr(checks, "gather", lambda value: found)


def test_values_of_any_length_are_gathered(monkeypatch):
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    exchange = []
    monkeypatch.setattr(
        together.multihost_utils,
        "process_allgather",
        lambda x: exchange.append(x.size) or np.stack([x, x]),
    )
    for value in ("x" * 5000, {"ä": (1.5, None)}, []):
        assert together.gather(value) == [value, value]
    assert exchange == [1, 8192, 1, 1024, 1, 1024]
    array = np.array([0.1, np.nan, -0.0])
    assert together.gather(array)[1].tobytes() == array.tobytes()
    skipped = [Skipped("a.avi", "damaged")]
    assert together.gather_skipped(skipped) == skipped * 2


def test_an_error_of_another_process_is_raised_here_too(monkeypatch):
    sent = []
    failed = together._Failure("process 1 on b: no such folder")
    monkeypatch.setattr(together, "_exchange", lambda value: sent.append(value) or [value, failed])
    reason = "process 1 on b: no such folder"
    with pytest.raises(together.OtherProcessFailed, match=reason), together.fails_together():
        pass
    # It comes with whatever is exchanged next, and is not sent again.
    with pytest.raises(together.OtherProcessFailed, match=reason), together.fails_together():
        together.gather("a result")
    assert sent == [None, "a result"]
    with pytest.raises(KeyError, match="mine"), together.fails_together():
        raise KeyError("mine")
    assert sent[2].text.endswith("'mine'")


def test_a_failed_process_does_not_wait_long_for_the_others(monkeypatch, capsys):
    ended = threading.Event()
    monkeypatch.setattr(together, "_PATIENCE_S", 0.01)
    monkeypatch.setattr(together, "_exchange", lambda value: ended.wait(10))
    monkeypatch.setattr(os, "_exit", lambda code: ended.set())
    with pytest.raises(ValueError), together.fails_together():
        raise ValueError("root: no such folder")
    assert ended.is_set()
    assert capsys.readouterr().err == "\nerror: root: no such folder\n"


def test_an_error_of_a_collective_means_that_another_process_ended(monkeypatch):
    closed = ValueError("UNKNOWN: Gloo all-reduce failed: Connection closed by peer")
    assert together.lost_process(closed) == ""  # there is no other process
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    assert "another process has ended" in together.lost_process(closed)
    assert together.lost_process(ValueError("batch_size: got 0")) == ""
    with pytest.raises(together.OtherProcessFailed), together.explains_lost_process():
        raise closed


def test_settings_of_all_processes_must_agree_but_for_paths_and_reading(monkeypatch, tmp_path):
    config = small_config(tmp_path)

    def told(**changes):
        """What `check_same_settings` gathers of a process."""
        sent = []
        monkeypatch.setattr(checks, "gather", lambda value: sent.append(value[1]) or [value])
        checks.check_same_settings(dataclasses.replace(config, **changes))
        return sent

    right, same = told(), told(run_dir="elsewhere", compilation_cache="x")
    as_if_gathered(monkeypatch, right, same)
    checks.check_same_settings(config)
    other = told(steps=9)
    as_if_gathered(monkeypatch, right, other)
    with pytest.raises(ValueError, match="process 1 on b .* than process 0 on a: steps: 9, not 4"):
        checks.check_same_settings(config)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"class_names": ("walk",)}, "other classes (1, not 2)"),
        ({"train": VideoDigest(4, "c", "o", "d")}, "other training videos (4, not 3)"),
        ({"train": VideoDigest(3, "x", "o", "d")}, "other names or labels of training videos"),
        ({"train": VideoDigest(3, "c", "x", "d")}, "another order of training videos"),
        ({"train": VideoDigest(3, "c", "o", "x")}, "other lengths or file sizes of training"),
        ({"test": VideoDigest(1)}, "other test videos (1, not 2)"),
    ],
)
def test_data_that_differ_name_the_host(monkeypatch, changes, message):
    def told(record):
        videos = {s: dataclasses.asdict(getattr(record, s)) for s in ("train", "test")}
        return [list(record.class_names), videos]

    monkeypatch.setattr(checks, "_examples", lambda *_: "")

    as_if_gathered(monkeypatch, told(RECORD), told(RECORD))
    checks.check_same_data(RECORD)
    as_if_gathered(monkeypatch, told(RECORD), told(dataclasses.replace(RECORD, **changes)))
    with pytest.raises(ValueError, match="data: process 1 on b has " + re.escape(message)):
        checks.check_same_data(RECORD)


def test_videos_that_differ_are_named(monkeypatch):
    right = [Listed(f"walk/{i}.avi", 0, 9, 1000) for i in range(6)]
    own = {"test": right[2:]}  # without 0 and 1, and with another 5
    own["test"][-1] = right[5]._replace(size=999)
    assert checks._examples({"test": right}, own) == (" (walk/0.avi, walk/1.avi, walk/5.avi)")
    assert checks._examples({"test": right}, {"test": []}).endswith(", walk/2.avi and 3 more)")
    assert checks._examples({"test": right}, {"test": right[::-1]}) == ""
    assert checks._examples({}, {}) == ""

    def gathered(value):
        if isinstance(value, dict):
            return [{"test": right}, own]
        name, classes, videos = value
        other = {"train": videos["train"], "test": dataclasses.asdict(digest_of(own["test"]))}
        return [["process 0 on a", classes, videos], ["process 1 on b", classes, other]]

    monkeypatch.setattr(checks, "gather", gathered)
    with pytest.raises(ValueError, match=r"\(4, not 6\) than process 0 on a \(walk/0.avi, walk/1"):
        checks.check_same_videos(right)


def test_all_processes_stop_one_step_after_one_of_them_was_asked(monkeypatch):
    devices = jax.local_devices()
    alone = Agreement(devices)
    assert [alone.stop(asked) for asked in (False, True)] == [False, True]
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    several = Agreement(devices)
    assert not several.immediate
    assert [several.stop(asked) for asked in (False, True, False, False)] == [
        *(False, False, True, False)
    ]
