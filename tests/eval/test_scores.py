"""Tests the cached scores, their fusion, and the bootstrap interval of the accuracy."""

import dataclasses
import io
import math

import numpy as np
import pytest
from rich.console import Console

from afn_jax.metrics import true_class_rank
from eval.__main__ import main
from eval.fuse import FuseConfig, fuse_line, run_fuse
from eval.scores import Scores, accuracy, accuracy_interval, aligned, fuse, load_scores

NAMES = ("v/1.avi", "v/2.avi", "ä/3.avi")
LABELS = np.array([0, 1, 1])


def scores(logits, run="spatial", **changes):
    logits = np.asarray(logits, np.float64)
    powers = np.exp(logits)
    fields = {
        "logits": logits,
        "probabilities": powers / powers.sum(-1, keepdims=True),
        "labels": LABELS,
        "names": NAMES,
        "class_names": ("a", "b"),
        "views": np.array([250, 250, 10]),
        "protocol": "hidden-two-stream",
        "run": run,
        "step": 7,
    }
    return Scores(**(fields | changes))


SPATIAL = scores([[2, 1], [3, 0], [-1, -2]])  # right, wrong, wrong
TEMPORAL = scores([[0, 1], [-2, 4], [0, 0.5]], run="temporal")  # wrong, right, right


def reversed_order(one):
    fields = ("logits", "probabilities", "labels", "views")
    return dataclasses.replace(
        one, names=one.names[::-1], **{name: getattr(one, name)[::-1] for name in fields}
    )


def test_loads_what_was_saved(tmp_path):
    SPATIAL.save(tmp_path / "scores.npz")
    for path in (tmp_path, tmp_path / "scores.npz"):
        back = load_scores(path)
        for field in dataclasses.fields(Scores):
            np.testing.assert_array_equal(getattr(back, field.name), getattr(SPATIAL, field.name))
    assert [path.name for path in tmp_path.iterdir()] == ["scores.npz"]
    assert isinstance(back.names, tuple) and type(back.step) is int


def test_fusion_matches_known_values():
    np.testing.assert_allclose(
        fuse([SPATIAL, TEMPORAL], (1, 1.5), "logits"),
        [[2 / 2.5, 2.5 / 2.5], [0 / 2.5, 6 / 2.5], [-1 / 2.5, -1.25 / 2.5]],
    )
    # Negative logits count 0 and each row sums to 1; a row of only negative logits counts 0.
    np.testing.assert_allclose(
        fuse([SPATIAL, TEMPORAL], (1, 1.5), "rectified") * 2.5,
        [[2 / 3, 1 / 3 + 1.5], [1, 1.5], [0, 1.5]],
    )
    probability = 1 / (1 + math.exp(-1)), 1 / (1 + math.exp(1))
    np.testing.assert_allclose(
        fuse([SPATIAL, TEMPORAL], (1, 3), "probabilities")[0],
        [(probability[0] + 3 * probability[1]) / 4, (probability[1] + 3 * probability[0]) / 4],
    )


def test_matches_videos_by_name():
    expected = fuse([SPATIAL, TEMPORAL], (1, 1.5), "logits")
    moved = fuse([SPATIAL, reversed_order(TEMPORAL)], (1, 1.5), "logits")
    np.testing.assert_array_equal(moved, expected)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"names": ("v/1.avi", "v/2.avi", "x")}, "2 are in only one of them, first: x"),
        ({"class_names": ("a", "c")}, "spatial and temporal have different classes"),
        ({"labels": np.array([0, 0, 1])}, "different labels for v/2.avi"),
    ],
)
def test_rejects_scores_of_different_data(other, message):
    with pytest.raises(ValueError, match=message):
        aligned([SPATIAL, dataclasses.replace(TEMPORAL, **other)])


def test_rejects_streams_of_different_videos():
    fields = ("logits", "probabilities", "labels", "views")
    fewer = dataclasses.replace(
        TEMPORAL, names=NAMES[:2], **{name: getattr(TEMPORAL, name)[:2] for name in fields}
    )
    with pytest.raises(ValueError, match="spatial has 3 videos and temporal has 2; 1 are in only"):
        fuse([SPATIAL, fewer], (1, 1), "logits")


@pytest.mark.parametrize("weights", [(1,), (1, -1), (0, 0), (1, float("nan"))])
def test_rejects_invalid_weights(weights):
    with pytest.raises(ValueError, match="weights: got"):
        fuse([SPATIAL, TEMPORAL], weights, "logits")


def test_rejects_missing_and_foreign_files(tmp_path):
    with pytest.raises(ValueError, match="scores.npz does not exist. `python -m eval action"):
        load_scores(tmp_path)
    (tmp_path / "text").write_text("no scores")
    (tmp_path / "empty").write_bytes(b"")
    np.savez(tmp_path / "other.npz", logits=np.zeros(3))
    for name in ("text", "empty", "other.npz"):
        with pytest.raises(ValueError, match=f"{name} is not a file that `python -m eval action`"):
            load_scores(tmp_path / name)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"names": NAMES[:2]}, r"logits: got shape \(3, 2\), but 2 videos and 2 classes"),
        ({"labels": LABELS[:2]}, r"labels and views: got shapes \(2,\) and \(3,\)"),
        ({"names": ("a", "b", "a")}, "'a' occurs more than once"),
    ],
)
def test_rejects_fields_that_contradict_each_other(change, message):
    with pytest.raises(ValueError, match=message):
        scores(SPATIAL.logits, **change)


def test_accuracy_with_ties_and_nan():
    values = np.array([[3.0, 1, 2], [1, 1, 0], [1, 1, 0], [np.nan, 2, 1], [3, np.nan, 1]])
    np.testing.assert_array_equal(
        true_class_rank(values, np.array([2, 0, 1, 0, 0])), [1, 0, 1, 3, 1]
    )
    many = np.tile(np.arange(8.0), (4, 1))
    assert accuracy(many, np.array([7, 3, 2, 7])) == {"top1": 0.5, "top5": 0.75}
    assert accuracy(many[:, :3], np.array([2, 0, 1, 0])) == {"top1": 0.25}


# ---------------------------------------------------------------- Bootstrap


def test_interval_matches_the_binomial_distribution():
    """Among n videos drawn with replacement, the number of right ones is binomial."""
    n, k = 60, 45
    p = np.array([math.comb(n, i) * (k / n) ** i * (1 - k / n) ** (n - i) for i in range(n + 1)])
    below = np.cumsum(p)
    exact = [np.searchsorted(below, q) / n for q in (0.025, 0.975)]
    names = [str(i) for i in range(n)]
    right = np.arange(n) < k
    got = accuracy_interval([(names, right)])
    np.testing.assert_allclose(got, exact, atol=1.01 / n)
    assert got == accuracy_interval([(names, right)]) and got[0] < 0.68 and got[1] > 0.82
    narrow = accuracy_interval([(names, right)], level=0.5)
    assert got[0] < narrow[0] < 0.75 < narrow[1] < got[1]
    assert accuracy_interval([(names, np.ones(n, bool))]) == (1, 1)


def test_draws_the_videos_of_several_runs_together():
    names = [str(i) for i in range(50)]
    right = np.arange(50) % 2 == 0
    one = accuracy_interval([(names, right)])
    assert accuracy_interval([(names, right)] * 3) == pytest.approx(one)
    assert accuracy_interval([(names, right), (names, ~right)]) == (0.5, 0.5)
    others = [str(i) for i in range(50, 100)]
    two = accuracy_interval([(names, right), (others, right)])
    assert 0.6 < (two[1] - two[0]) / (one[1] - one[0]) < 0.82  # 1 / sqrt(2)


# ---------------------------------------------------------------- The command


@pytest.fixture
def folders(tmp_path):
    for one in (SPATIAL, reversed_order(TEMPORAL)):
        (tmp_path / one.run).mkdir()
        one.save(tmp_path / one.run / "scores.npz")
    return str(tmp_path / "spatial"), str(tmp_path / "temporal" / "scores.npz")


def run_and_print(*scores, **fields):
    """Returns the result of the command and what it prints."""
    out = io.StringIO()
    values = run_fuse(FuseConfig(scores, **fields), Console(file=out, width=200))
    return values, out.getvalue()


def test_fuses_two_streams(folders):
    values, out = run_and_print(folders, weights=(1.0, 1.5))
    # Fused logits (.8, 1), (0, 2.4), (-.4, -.5): wrong, right, wrong.
    assert values["top1"] == pytest.approx(1 / 3) and values["num_videos"] == 3
    assert "spatial: top1=0.3333 weight=1 " in out and "temporal: top1=0.6667 weight=1.5" in out
    assert fuse_line(values).startswith("top1=0.3333 low=0 high=1 chance=0.5 num_videos=3")
    assert run_and_print(folders[:1])[0]["top1"] == pytest.approx(1 / 3)
    assert run_and_print(folders, weights=(0.0, 1.0))[0]["top1"] == pytest.approx(2 / 3)


def test_sweep_over_weights(folders):
    _, out = run_and_print(folders, sweep=True)
    rows = [line.split() for line in out.splitlines() if line.startswith("weights 1 : ")]
    found = {float(row[3]): float(row[4].removeprefix("top1=")) for row in rows}
    assert len(found) == 17
    for weight, top1 in found.items():
        fused = SPATIAL.logits + weight * TEMPORAL.logits
        assert top1 == pytest.approx((fused.argmax(-1) == LABELS).mean(), abs=1e-4)
    best = {float(row[3]) for row in rows if row[-1] == "best"}
    assert best == {weight for weight in found if found[weight] == max(found.values())}
    with pytest.raises(ValueError, match="sweep: it needs two streams per split, but got 1"):
        run_and_print(folders[:1], sweep=True)


def test_warns_about_scores_of_an_older_checkpoint(folders, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "newest" not in run_and_print(folders)[1]
    (tmp_path / "spatial" / "checkpoints" / str(SPATIAL.step + 9)).mkdir(parents=True)
    printed = " ".join(run_and_print(folders)[1].split())
    assert f"scores.npz of {folders[0]} belongs to step {SPATIAL.step}, but the newest" in printed
    assert printed.count("warning") == 1


def test_warns_about_different_protocols_or_views(folders, tmp_path):
    dataclasses.replace(SPATIAL, protocol="clips").save(tmp_path / "other.npz")
    _, out = run_and_print((folders[1], str(tmp_path / "other.npz")))
    assert "warning: the streams were evaluated by different protocols" in out
    dataclasses.replace(SPATIAL, views=SPATIAL.views + 9).save(tmp_path / "more.npz")
    _, out = run_and_print((folders[1], str(tmp_path / "more.npz")))
    assert "warning: the streams have different numbers of views per video" in out
    for nothing in ((), ((),)):
        with pytest.raises(ValueError, match="scores: got none"):
            run_and_print(*nothing)


def test_messages_name_the_paths_that_were_given(folders, tmp_path):
    other = dataclasses.replace(SPATIAL, class_names=("a", "c"))  # a copied run that was changed
    (tmp_path / "copy").mkdir()
    other.save(tmp_path / "copy" / "scores.npz")
    with pytest.raises(ValueError, match=r"/spatial and .*/copy have different classes"):
        run_and_print((folders[0], str(tmp_path / "copy")))
    assert "/copy: top1=" in run_and_print((str(tmp_path / "copy" / "scores.npz"),))[1]


def test_weights_and_space_come_from_the_protocol(folders, tmp_path):
    """Logits (5, 0) and (0, 6) prefer the second class, probabilities of .9 and .6 the first."""
    _, out = run_and_print(folders)
    assert "spatial: top1=0.3333 weight=1 " in out and "weight=1.5" in out
    streams = {"s": ([[5.0, 0.0]], [[0.9, 0.1]]), "t": ([[0.0, 6.0]], [[0.4, 0.6]])}
    for protocol, right in (("clips", 1.0), ("uf-tsn", 0.0)):
        for run, (logits, probabilities) in streams.items():
            one = scores(
                logits,
                probabilities=np.array(probabilities),
                run=run,
                protocol=protocol,
                labels=np.array([0]),
                names=("v",),
                views=np.ones(1),
            )
            one.save(tmp_path / f"{run}.npz")
        values, out = run_and_print((str(tmp_path / "s.npz"), str(tmp_path / "t.npz")))
        assert values["top1"] == right and "weight=1.5" not in out
    files = (str(tmp_path / "s.npz"), str(tmp_path / "t.npz"))
    values, _ = run_and_print(files, space="probabilities")
    assert values["top1"] == 1


def test_accepts_several_splits_on_the_command_line(folders, tmp_path, monkeypatch, capsys):
    one = scores([[1, 0]], run="s2", labels=np.array([0]), names=("w.avi",), views=np.ones(1))
    one.save(tmp_path / "s2.npz")
    command = ["fuse", "--scores", folders[0], "--scores", str(tmp_path / "s2.npz")]
    monkeypatch.setattr("sys.argv", ["eval", *command])
    assert main() == 0
    assert "splits=2 top1=0.6667" in capsys.readouterr().out


def test_fuses_splits_separately_and_averages_them(folders, tmp_path):
    """Both streams are right about the only video of split 2, so the mean is (1/3 + 1) / 2."""
    other = []
    for name, logits in (("s2", [[1, 0]]), ("t2", [[2, 0]])):
        one = scores(logits, run=name, labels=np.array([0]), names=("w.avi",), views=np.ones(1))
        one.save(tmp_path / f"{name}.npz")
        other.append(str(tmp_path / f"{name}.npz"))
    values, out = run_and_print(folders, tuple(other))
    assert values["top1"] == pytest.approx((1 / 3 + 1) / 2)
    assert (values["splits"], values["num_videos"]) == (2, 4)
    assert fuse_line(values).startswith("splits=2 top1=0.6667 low=")
    given = [folders[0], folders[1].removesuffix("/scores.npz"), *other]
    assert [line.split(":")[0] for line in out.splitlines()] == given
    _, out = run_and_print(folders, tuple(other), sweep=True)
    assert "weights 1 : 0    top1=0.6667" in out  # the spatial streams: 1/3 and 1
    with pytest.raises(ValueError, match="got 2 streams for one split and 1 for another"):
        run_and_print(folders, tuple(other[:1]))
    with pytest.raises(ValueError, match="spatial is given for more than one split"):
        run_and_print(folders, folders)
    scores(
        [[1, 0]],
        labels=np.array([0]),
        names=("w",),
        views=np.ones(1),
        class_names=("a", "c"),
        run="x",
    ).save(tmp_path / "x.npz")
    with pytest.raises(ValueError, match="spatial and .*x.npz have different classes and cannot"):
        run_and_print(folders[:1], (str(tmp_path / "x.npz"),))
