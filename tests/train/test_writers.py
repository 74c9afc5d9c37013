import io
import struct

import pytest
from rich.console import Console
from tensorboardX.proto import event_pb2

from afn_jax.data.source import Skipped
from train import writers
from train.writers import MetricsWriter, Terminal, add_skipped, read_metrics, read_skipped


def scalars(run_dir):
    """Reads the scalars of the event files as `{tag: [(step, value), ...]}`."""
    found = {}
    for path in sorted((run_dir / "tensorboard").glob("events*")):
        data, position = path.read_bytes(), 0
        while position < len(data):
            (length,) = struct.unpack_from("<Q", data, position)
            event = event_pb2.Event.FromString(data[position + 12 : position + 12 + length])
            position += 12 + length + 4  # length, its checksum, the record, its checksum
            for value in event.summary.value:
                found.setdefault(value.tag, []).append((event.step, value.simple_value))
    return found


def test_writes_rows_and_scalars(tmp_path):
    writer = MetricsWriter(tmp_path, 0)
    writer.write(1, "train", {"loss": 2.5})
    writer.write(2, "test", {"epe": 0.5, "top1": 0.25})
    assert len(read_metrics(tmp_path)) == 2  # before it is closed: a killed run keeps its rows
    writer.close()
    assert read_metrics(tmp_path) == [
        {"step": 1, "split": "train", "loss": 2.5},
        {"step": 2, "split": "test", "epe": 0.5, "top1": 0.25},
    ]
    assert scalars(tmp_path) == {
        "train/loss": [(1, 2.5)],
        "test/epe": [(2, 0.5)],
        "test/top1": [(2, 0.25)],
    }


def test_a_resumed_run_writes_its_rows_once(tmp_path):
    writer = MetricsWriter(tmp_path, 0)
    for step in (1, 2, 3):
        writer.write(step, "train", {"loss": float(step)})
    writer.close()
    writer = MetricsWriter(tmp_path, 2)
    writer.write(3, "train", {"loss": 30.0})
    writer.close()
    assert [(row["step"], row["loss"]) for row in read_metrics(tmp_path)] == [
        (1, 1.0),
        (2, 2.0),
        (3, 30.0),
    ]


def test_reads_metrics_without_a_truncated_last_line(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1, "split": "train", "loss": 1.0}\n{"step": 2, "spl')
    assert [row["step"] for row in read_metrics(tmp_path)] == [1]
    writer = MetricsWriter(tmp_path, 1)
    writer.write(2, "train", {"loss": 2.0})
    writer.close()
    assert [row["step"] for row in read_metrics(tmp_path)] == [1, 2]


def test_reads_no_metrics_from_an_empty_folder(tmp_path):
    assert read_metrics(tmp_path) == []


@pytest.mark.parametrize("damaged", ["", '[["a.avi"', '[["a.avi"]]', "7"])
def test_reports_a_damaged_list_of_skipped_files(tmp_path, damaged):
    add_skipped(tmp_path, [Skipped("a.avi", "cut off")])
    assert read_skipped(tmp_path) == [Skipped("a.avi", "cut off")]
    (tmp_path / "skipped.json").write_text(damaged)
    (found,) = read_skipped(tmp_path)
    assert found.path.endswith("skipped.json") and "is damaged" in found.reason
    add_skipped(tmp_path, [Skipped("b.avi", "cut off")])
    assert read_skipped(tmp_path) == [found, Skipped("b.avi", "cut off")]


@pytest.fixture
def clock(monkeypatch):
    """Replaces the clock by one that the test moves."""
    now = [100.0]
    monkeypatch.setattr(writers.time, "perf_counter", lambda: now[0])
    return now


def make_terminal(total=20):
    output = io.StringIO()
    return output, Terminal(total, batch_size=4, console=Console(file=output, width=200))


def test_speed_excludes_compiling_testing_and_saving(clock):
    _, terminal = make_terminal()
    terminal.start(0)
    assert terminal.speed(5) == {}
    clock[0] += 2.0
    with terminal.paused():
        clock[0] += 1.0
    assert terminal.speed(9) == {"steps_per_second": 2.0, "clips_per_second": 8.0}
    clock[0] += 1.0
    assert terminal.speed(10)["steps_per_second"] == 1.0


@pytest.mark.parametrize(("waited", "told"), [(1.5, True), (0.5, False)])
def test_tells_once_that_reading_is_the_limit(clock, waited, told):
    output, terminal = make_terminal()
    terminal.start(0)
    with terminal.reading():
        clock[0] += 60.0  # the first batch, before the first step
    terminal.speed(5)
    for step in (9, 13):
        with terminal.reading():
            clock[0] += waited
        clock[0] += 2.0 - waited
        assert terminal.speed(step)["steps_per_second"] == 2.0  # as slow as the reading
    text = output.getvalue()
    assert text.count("training waits for clips 75% of the time") == told
    assert ("--data.num-threads" in text) == told


def test_prints_plain_lines_without_a_terminal(clock):
    output, terminal = make_terminal(total=200)
    terminal.start(0)
    terminal.row(80, "train", {"loss": 1.5, "steps_per_second": 0.5, "clips_per_second": 2.0})
    terminal.advance(80)
    terminal.close()
    lines = output.getvalue().splitlines()
    assert len(lines) == 1
    assert lines[0].split()[:5] == ["step", "80", "train", "loss", "1.5"]
    assert lines[0].endswith("left 4:00")


def test_does_not_wrap_lines(clock):
    output = io.StringIO()
    terminal = Terminal(9, batch_size=4, console=Console(file=output, width=40))
    terminal.row(1, "test", {"a_long_name": 1.0, "another_long_name": 2.0, "and_a_third": 3.0})
    assert len(output.getvalue().splitlines()) == 1


def test_lists_a_file_once_whatever_its_reasons(tmp_path):
    add_skipped(tmp_path, [Skipped("a.avi", "frame 6"), Skipped("b.avi", "empty")])
    add_skipped(tmp_path, [Skipped("a.avi", "frame 7"), Skipped("c.avi", "frame 7")])
    assert [item.path for item in read_skipped(tmp_path)] == ["a.avi", "b.avi", "c.avi"]
    assert read_skipped(tmp_path)[0].reason == "frame 6"
