"""The examples of `docs/extending.md` work, with one line in one table each."""

import re
from pathlib import Path

import numpy as np
import pytest

from afn_jax.data.check.__main__ import main as check
from afn_jax.data.sources import SOURCES
from afn_jax.models import MODELS
from tests.data.videos import encode, moving_picture
from train.cli import parse
from train.flow_losses import FLOW_LOSSES
from train.loop import train
from train.recipes import RECIPES
from train.writers import read_metrics

PAGE = Path(__file__).resolve().parent.parent / "docs" / "extending.md"
TABLES = {"SOURCES": SOURCES, "MODELS": MODELS, "FLOW_LOSSES": FLOW_LOSSES, "RECIPES": RECIPES}
BLOCK = re.compile(r"```python\n# (\S+)\n(.*?)```", re.S)


@pytest.fixture
def registered(tmp_path, monkeypatch):
    """Writes the page's files into a package and adds its lines to the tables, for one test."""
    package = tmp_path / "page_examples"
    package.mkdir()
    (package / "__init__.py").write_text("")
    blocks = BLOCK.findall(PAGE.read_text(encoding="utf-8"))
    assert len(blocks) == 8 and {table for table, _ in blocks[1::2]} == set(TABLES)
    monkeypatch.syspath_prepend(str(tmp_path))
    for (path, code), (table, line) in zip(blocks[::2], blocks[1::2], strict=True):
        assert 20 <= len(code.splitlines()) <= 45, path
        assert len(line.splitlines()) == 1
        # Two of the files have the same name, in different folders.
        (package / f"{table.lower()}.py").write_text(code)
        module = __import__(f"page_examples.{table.lower()}", fromlist=["*"])
        for name, value in eval(f"{{{line}}}", {Path(path).stem: module}).items():
            monkeypatch.setitem(TABLES[table], name, value)


@pytest.fixture
def gestures(tmp_path):
    """A folder of ten short videos of two classes, with the list that the page describes."""
    folder = tmp_path / "videos"
    folder.mkdir()
    rows = []
    for number in range(10):
        label, split = ("still", "wave")[number % 2], "train" if number < 6 else "test"
        frames = np.roll(moving_picture(6 + number), number, axis=1)
        encode(folder / f"clip{number}.mp4", "mpeg4", frames)
        rows.append(f"clip{number}.mp4 {label} {split}\n")
    (folder / "gestures.txt").write_text("".join(rows))
    return folder


def test_the_examples_train_together(registered, gestures, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = parse(
        [
            *("gestures", "--scale", "toy", "--data.root", str(gestures)),
            *("--steps", "3", "--log-every", "1", "--test-every", "3", "--max-devices", "1"),
            *("--compilation-cache", "", "--data.index-cache", "none"),
        ]
    )
    result = train(config)
    assert result.finished and int(result.state.step) == 3
    rows = read_metrics(result.run_dir)
    assert [row["step"] for row in rows if row["split"] == "train"] == [1, 2, 3]
    for row in rows:
        assert {"cross_entropy", "difference", "smooth", "top1"} <= set(row)
        assert all(np.isfinite(v) for v in row.values() if not isinstance(v, str))


@pytest.mark.parametrize("source", [[], ["--source", "gestures"]])
def test_the_doctor_knows_the_dataset(registered, gestures, source, capsys):
    assert check([str(gestures), "--num-frames", "4", *source]) == 0
    output = capsys.readouterr().out
    assert "gestures.txt, 2 classes: still, wave" in output.splitlines()[0]
    assert "videos" in output


def test_help_and_near_names_know_the_additions(registered, capsys):
    with pytest.raises(SystemExit):
        parse(["gestures", "--help"])
    output = capsys.readouterr().out
    for name in ("gestures", "pair-network", "warped-difference"):
        assert name in output
    with pytest.raises(SystemExit):
        parse(["gesture"])
    assert "Did you mean gestures" in capsys.readouterr().err.replace("'", "")
