"""Thresholds per class from a file."""

import json

import pytest

from afn_jax.predict.settings import Settings
from afn_jax.predict.threshold_file import read_thresholds

NAMES = ("walk", "run", "sit, then stand")


def read(tmp_path, text, name="t.csv", **options):
    path = tmp_path / name
    path.write_text(text)
    return read_thresholds(path, NAMES, **{"low": None, "least": 0.0} | options)


def test_csv(tmp_path):
    text = 'class,high,low,least\nwalk,0.6\nrun, 0.7, 0.2, 1.5\n"sit, then stand",0.9,,2\n'
    assert read(tmp_path, text) == (
        ("run", 0.7, 0.2, 1.5),
        ("sit, then stand", 0.9, pytest.approx(0.54), 2.0),
        ("walk", 0.6, pytest.approx(0.36), 0.0),
    )


def test_json(tmp_path):
    text = json.dumps({"walk": 0.6, "run": {"high": 0.7, "least": 1}})
    assert read(tmp_path, text, "t.json", low=0.65, least=0.5) == (
        ("run", 0.7, 0.65, 1.0),
        ("walk", 0.6, 0.6, 0.5),  # the usual low one is above its high one
    )


def test_classes_without_a_row_keep_the_usual_thresholds():
    settings = Settings(threshold=0.4, thresholds=(("run", 0.7, 0.2, 1.5),))
    walk, run, _ = settings.thresholds_of(NAMES)
    assert (walk.high, walk.low, walk.least) == (0.4, pytest.approx(0.24), 0.0)
    assert (run.high, run.low, run.least) == (0.7, 0.2, 1.5)


@pytest.mark.parametrize(
    ("text", "name", "message"),
    [
        ("wakl,0.5", "t.csv", "line 1: got the class 'wakl'.*Did you mean walk?"),
        ("zzz,0.5", "t.csv", "Allowed are walk, run"),
        ("walk,0.5\nwalk,0.6", "t.csv", "line 2: the class 'walk' is named twice"),
        ("walk,high", "t.csv", "line 1: high is 'high'; give a number"),
        ("walk,1.5", "t.csv", "line 1: threshold: got 1.5"),
        ("walk,0.5,0.6", "t.csv", "line 1: low: got 0.6"),
        ("walk", "t.csv", "line 1: got 1 columns"),
        ("walk,.5,.3,1,2", "t.csv", "line 1: got 5 columns"),
        ("class,high\n", "t.csv", "no rows"),
        ("{", "t.json", "not JSON"),
        ('{"walk": 0.5, "run": 0.5, "walk": 0.6}', "t.json", "t.json names 'walk' twice; keep one"),
        ("[1]", "t.json", "must be an object"),
        ('{"walk": {"hihg": 1}}', "t.json", "got 'hihg'; allowed are high, low"),
        ('{"walk": {"low": 1}}', "t.json", "high is None"),
        ('{"walk": true}', "t.json", "high is True"),
        ('{"walk": NaN}', "t.json", "high is nan"),
    ],
)
def test_rejects_malformed_files(tmp_path, text, name, message):
    with pytest.raises(ValueError, match=message):
        read(tmp_path, text, name)


def test_rejects_other_files(tmp_path):
    (tmp_path / "t.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match="not text in UTF-8"):
        read_thresholds(tmp_path / "t.csv", NAMES, low=None, least=0.0)
