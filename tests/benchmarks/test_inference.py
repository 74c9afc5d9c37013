"""The inference benchmark: its rows are those of the papers; the command on a tiny network."""

import json

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from afn_jax.models import MODELS, VideoNetwork
from afn_jax.types import Prediction
from benchmarks import inference, speeds_of_papers
from benchmarks.inference_section import section
from benchmarks.speeds_of_papers import ROWS, FusedStreams, Row, Stream, find_rows

# As printed in the papers, from the top of each table to its end.
FIGURES = {
    "Hidden Two-Stream, Table 1": [
        *(14.75, 52.08, 8.05, 42.02, 390.7, 48.54),
        *(200.0, None, 169.49, 169.49, 169.49),
        *(14.3, 12.8, 120.48, 120.48, 120.48),
    ],
    "Hidden Two-Stream, section 3.1": [370.0, 25.0],
    # The last row three times: for two candidates of the network, and with larger batches.
    "UF-TSN, Table 3": [19.2, 200.0, 48.5, 12.0, 131.6, 131.6, 300.0],
    "Representation Flow, Table 9": [
        *(225, 8039, 8546, 785, 524, 576),
        *(471, 8623, 622, 654),
        *(525, 8886, 594, 8845, 9354),
    ],
    "ActionFlowNet, section 3.3.1": [1.0, 2.0],
}


def shapes(row):
    clip = jax.ShapeDtypeStruct((1, row.frames, row.side, row.side, 3), jnp.float32)
    network = row.network()
    return jax.eval_shape(
        lambda frames: network.init_with_output(jax.random.key(0), frames, train=False), clip
    )


def check_outputs(row):
    prediction, _ = shapes(row)
    if "motionnet" in {stream.model for stream in row.streams}:
        assert prediction.logits is None
        assert prediction.flows[0].shape == (1, 10, 112, 112, 2)
    else:
        assert prediction.logits.shape == (1, row.classes)


def test_every_speed_of_the_papers_has_a_row():
    found = {}
    for row in ROWS:
        found.setdefault(row.table, []).append(row.figure)
    assert found == FIGURES
    assert len({row.name for row in ROWS}) == len(ROWS)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_row_has_a_network_or_the_reason_why_not(row):
    assert bool(row.streams) != bool(row.not_here)
    if row.streams:
        row.network()  # the names of networks and fields exist
        assert row.frames >= 1 and row.side == 224
        assert row.counted in (1, row.frames - 1, row.frames)


def test_a_network_takes_the_clips_of_its_row():
    check_outputs(find_rows(["afn/resnet18-2f"])[0])


@pytest.mark.slow
@pytest.mark.parametrize(
    "row", {row.key: row for row in ROWS if row.streams}.values(), ids=lambda row: row.name
)
def test_all_networks_take_the_clips_of_their_rows(row):
    check_outputs(row)


@pytest.mark.parametrize(
    ("name", "clips", "seconds", "fps"),
    [
        ("hts/stacked-c", 1, 1 / 169.49, 169.49),  # a pass is a frame
        ("hts/stacked-c", 8, 8 / 169.49, 169.49),
        ("uf-tsn/motion-stream", 1, 10 / 131.6, 131.6),  # ten flows
        ("rf/2d-repflow", 2, 2 * 0.524, 61.07),  # 32 frames in 524 ms
    ],
)
def test_counts_frames_as_the_paper_does(name, clips, seconds, fps):
    row = find_rows([name])[0]
    assert row.frames_per_second(clips, seconds) == pytest.approx(fps, rel=1e-4)
    assert row.seconds_per_frame == pytest.approx(1 / fps, rel=1e-4)


def test_names_of_tables_mean_all_their_rows():
    assert [row.name for row in find_rows(["afn", "rf/2d-fcf"])] == [
        *("rf/2d-fcf", "afn/resnet18-2f", "afn/stacked-2f")
    ]
    assert find_rows([]) == list(ROWS)


def test_rejects_unknown_rows():
    with pytest.raises(ValueError, match="rows: got 'hts/hiden-c'. Did you mean hts/hidden-c"):
        find_rows(["hts/hiden-c"])


class Tiny(VideoNetwork):
    """A network that compiles at once; its scores are `scale` times the mean color."""

    scale: float = 1.0

    @nn.compact
    def __call__(self, frames, *, train):
        start = self.param("start", nn.initializers.constant(7.0), ())
        scores = nn.Dense(self.num_classes, name="classifier")(frames.mean((1, 2, 3)))
        return Prediction(logits=self.scale * scores + 0 * start, flows=(frames[..., :2],))


def tiny_row(name, *streams, **fields):
    fields = dict(frames=3, counted=2, side=8, classes=5) | fields
    return Row(name, "Paper, Table 1", "its row", 10.0, "fps", "a card", streams, **fields)


def test_several_streams_are_averaged():
    model = FusedStreams((Tiny(5, scale=1.0), Tiny(5, scale=0.0)))
    frames = np.random.default_rng(0).random((2, 3, 8, 8, 3), np.float32)
    variables = inference.random_variables(model, frames.shape)

    @jax.jit
    def both(variables):
        first = {"params": variables["params"]["streams_0"]}
        fused = model.apply(variables, frames, train=False)
        return fused, Tiny(5).apply(first, frames, train=False)

    fused, alone = both(variables)
    np.testing.assert_allclose(fused.logits, alone.logits / 2, rtol=1e-6)
    assert len(fused.flows) == 2


def test_only_kernels_are_random():
    variables = inference.random_variables(Tiny(5, width=4), (1, 3, 8, 8, 3))["params"]
    assert variables["start"] == 7.0
    assert not variables["classifier"]["bias"].any()
    kernel = variables["classifier"]["kernel"]
    assert kernel.shape == (3, 5) and kernel.std() > 0.3


@pytest.fixture
def command(monkeypatch, tmp_path, capsys):
    """Runs the command; returns its exit code, its output and the JSON."""
    rows = (
        tiny_row("tiny/one", Stream("tiny"), guessed="A guess."),
        tiny_row("tiny/same", Stream("tiny")),
        tiny_row("tiny/other", Stream("tiny", {"scale": 2.0}), counted=1),
        tiny_row("tiny/none", not_here="a reason"),
    )
    monkeypatch.setitem(MODELS, "tiny", Tiny)
    monkeypatch.setattr(speeds_of_papers, "ROWS", rows)
    monkeypatch.setattr(inference, "start_jax", lambda cache: None)
    path = tmp_path / "new" / "results.json"

    def run(*arguments):
        given = ["--batch", "2", "--seconds", "0.1", "--json", str(path), *arguments]
        try:
            code = inference.main(given)
        except SystemExit as error:
            code = error.code
        return code, capsys.readouterr(), json.loads(path.read_text()) if path.exists() else None

    return run


def test_measures_every_row_and_prints_ratios_on_a_cpu_and_times_on_a_gpu(command):
    code, output, result = command("--markdown", "--dtype", "bfloat16")
    assert code == 0
    one, same, other, none = result["rows"]
    assert result["scale"] == "reduced" and result["clock"] == "processor"
    assert one["clip"] == [3, 96, 96] and one["width"] == 16
    assert one["measured"] == same["measured"] and "measured" not in none
    for clips in ("1", "2"):
        found = one["measured"][clips]
        for way in ("resident", "upload", "predict"):
            assert 0 < found[way]["min"] <= found[way]["median"] <= found[way]["max"]
            fps = 2 * int(clips) / found[way]["median"]  # two frames per clip are counted
            assert found["fps"][way] == pytest.approx(fps)
    lines = output.out.splitlines()
    assert "## Inference as in the papers, CPU, bfloat16" in lines
    row = next(line for line in lines if line.startswith("| its row") and "scale=2.0" in line)
    assert "| 1.00 |" in row and "3 x 96 x 96, width 16 (reduced), as 1" in row
    assert any("not here: a reason" in line for line in lines)
    assert "1. A guess." in lines
    assert " ms" not in row and "comparable" in output.out

    # The same results, if they were of a GPU.
    result["machine"]["platform"] = "gpu"
    title, text = section(result)
    assert title == "Inference as in the papers, GPU, bfloat16"
    found = one["measured"]["2"]
    assert f"| {1000 * found['resident']['median']:.2f} | {found['fps']['resident']:.1f} |" in text


def test_a_network_that_fails_is_reported_and_the_others_are_measured(command, monkeypatch):
    measured = inference.interleaved_times

    def full(ways, *arguments, **options):
        if jax.block_until_ready(ways["upload"]()).logits.shape[1] == 2:
            raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: out of memory: 123 bytes")
        return measured(ways, *arguments, **options)

    monkeypatch.setattr(inference, "interleaved_times", full)
    code, output, result = command("--markdown", "--rows", "tiny/one")
    assert code == 1
    measured = result["rows"][0]["measured"]
    assert measured["2"] == {"error": "out of memory"} and "fps" in measured["1"]
    assert "| out of memory |" in output.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--rows", "tiny/on"), "rows: got 'tiny/on'. Did you mean tiny/one"),
        (("--seconds", "0"), "seconds: got 0.0; allowed: above 0."),
    ],
)
def test_the_command_rejects_wrong_values(command, arguments, message):
    code, output, result = command(*arguments)
    assert code == 1 and message in output.err and result is None
