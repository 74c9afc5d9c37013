"""Every speed that the papers report, and the network here that each belongs to.

| paper | where | hardware |
|---|---|---|
| Hidden Two-Stream | Table 1; section 3.1 | not stated; the paper thanks NVIDIA for Titan Xp |
| UF-TSN | Table 3; section 3.3 | one RTX 2070 |
| Representation Flow | Table 9, first version | one Pascal Titan X |
| ActionFlowNet | section 3.3.1, a ratio | not stated |

The 200 frames per second of ActionFlowNet were measured by the authors of Hidden Two-Stream.

How the papers count frames is guessed:

- Hidden Two-Stream: one pass of the network per frame, over a window that moves by one frame. Two
  streams take 1 / 120.48 - 1 / 169.49 s = 2.4 ms longer than one, which is what one pass of the
  spatial VGG-16 (30 GFLOP) takes at the peak rate of a Titan Xp, 12 TFLOP/s. If a pass counted as
  ten frames, it would take 24 ms.
- UF-TSN: one frame per flow, ten per clip. With one pass per frame, 131.6 frames per second would
  need 48 TFLOP/s even with `finest_level=1`; an RTX 2070 has 7.5 in float32.
- Representation Flow: milliseconds per clip of 32 frames, so nothing is guessed.
"""

import dataclasses
from typing import Any, Literal

import flax.linen as nn
import jax.numpy as jnp

from afn_jax.models import create_model
from afn_jax.near_names import unknown_name
from afn_jax.types import Prediction


@dataclasses.dataclass(frozen=True)
class Stream:
    """A network of `afn_jax.models.list_models()` with some fields overridden."""

    model: str
    options: dict[str, Any] = dataclasses.field(default_factory=dict)

    def __str__(self) -> str:
        changed = ", ".join(f"{name}={value}" for name, value in self.options.items())
        return f"`{self.model}`" + (f" ({changed})" if changed else "")


@dataclasses.dataclass(frozen=True)
class Row:
    """A row of a paper's table.

    Attributes:
        name: names the row on the command line, "table/row".
        table: the paper and its table or section.
        label: the row as the paper has it.
        figure: the paper's figure; None if the paper has none.
        unit: of the figure: frames per second, milliseconds per clip, or times the first row.
        card: the hardware of the paper.
        streams: the networks; the logits of several are averaged. Empty: not here.
        frames: frames per clip.
        side: height and width of the frames.
        counted: frames that a clip counts as.
        guessed: what the paper leaves open.
        not_here: the reason why there is no such network here.
    """

    name: str
    table: str
    label: str
    figure: float | None
    unit: Literal["fps", "ms", "x"]
    card: str
    streams: tuple[Stream, ...] = ()
    frames: int = 0
    counted: int = 0
    side: int = 224
    classes: int = 101
    guessed: str = ""
    not_here: str = ""

    def network(self, **overrides: Any) -> nn.Module:
        """Creates the network; `overrides` are fields of all streams, such as `width`."""
        overrides = {"num_classes": self.classes, "num_frames": self.frames} | overrides
        streams = [
            create_model(stream.model, **overrides | stream.options) for stream in self.streams
        ]
        return streams[0] if len(streams) == 1 else FusedStreams(tuple(streams))

    @property
    def key(self) -> str:
        """The same for rows that have the same network and clips, which need one measurement."""
        return repr((self.streams, self.frames, self.side, self.classes))

    def frames_per_second(self, clips: int, seconds: float) -> float:
        """Converts the time of a batch to frames per second, counted as in the paper."""
        return self.counted * clips / seconds

    @property
    def seconds_per_frame(self) -> float | None:
        """The paper's figure; for unit "x" in units of the first row."""
        if self.figure is None:
            return None
        if self.unit == "fps":
            return 1 / self.figure
        return self.figure / 1000 / self.counted if self.unit == "ms" else self.figure


class FusedStreams(nn.Module):
    """Several networks on the same frames: the mean of their logits, and all of their flows."""

    streams: tuple[nn.Module, ...]

    def __call__(self, frames, *, train: bool) -> Prediction:
        found = [stream(frames, train=train) for stream in self.streams]
        logits = jnp.stack([prediction.logits for prediction in found]).mean(0)
        return Prediction(logits=logits, flows=sum((p.flows for p in found), ()))


HTS, HTS_TEXT = "Hidden Two-Stream, Table 1", "Hidden Two-Stream, section 3.1"
UF_TSN = "UF-TSN, Table 3"
RF = "Representation Flow, Table 9"
AFN = "ActionFlowNet, section 3.3.1"
TITAN_XP = "not stated (Titan Xp?)"
TITAN_X, RTX_2070 = "Titan X (Pascal)", "RTX 2070"

PASS = "The paper does not say how it counts frames: one pass of the network per frame."
ONE_FLOW = (
    "Per frame, one new flow and one pass of the classifier, which here reads this flow alone (2 "
    "channels instead of 20). The paper stores the flow and reads it again, which is left out "
    "here and takes most of its time."
)
OUR_TVL1 = "TV-L1 is this library's solver, not the paper's."
FLOWS = "The paper does not say how it counts frames: one per flow, ten per clip."
FLOW_OUTPUT = "The flow decoder is computed too; `predict_flow=false` would leave it out."
DEPTH = "The paper times ResNet-34; the (2+1)D network here has 50 layers, as in the authors' code."
STACKED = "Stacks of ten flows."
OTHER = "another network, which this library does not have"


def _row(name, table, label, figure, unit, card, *streams, **fields) -> Row:
    return Row(name, table, label, figure, unit, card, streams=streams, **fields)


def _hts(name, label, figure, *streams, frames=11, guessed=PASS, **fields) -> Row:
    fields |= dict(frames=frames, counted=1, guessed=guessed)
    return _row(f"hts/{name}", HTS, label, figure, "fps", TITAN_XP, *streams, **fields)


def _uf_tsn(name, label, figure, *streams, guessed=FLOWS, card=RTX_2070, **fields) -> Row:
    fields = dict(frames=11, counted=10, guessed=guessed) | fields
    return _row(f"uf-tsn/{name}", UF_TSN, label, figure, "fps", card, *streams, **fields)


def _rf(name, label, figure, *streams, **fields) -> Row:
    fields |= dict(frames=32, counted=32, classes=400)
    return _row(f"rf/{name}", RF, label, figure, "ms", TITAN_X, *streams, **fields)


def _afn(name, label, figure, stream) -> Row:
    fields = dict(frames=2, counted=1)
    return _row(f"afn/{name}", AFN, label, figure, "x", "not stated", stream, **fields)


_TEMPORAL = "hidden-temporal-vgg16"
_STACKED, _FUSED = Stream(_TEMPORAL), Stream("hidden-two-stream-vgg16")
_TVL1_VGG = Stream("two-stream-vgg16", {"fusion_weights": (0.0, 1.0)})
_AFN_2F = Stream("actionflownet-2f")
_RGB = {"composition": "none"}
_TVL1 = {"composition": "tvl1", "flow_after": 0, "stacked_flows": 10}
_LATE = _TVL1 | {"fusion": "late"}
_FCF = {"composition": "flow-conv-flow"}
_2D, _2PLUS1D = "repflow-resnet34", "repflow-r2plus1d50"
# As many parameters, a quarter of the computation: see `afn_jax.models.uf_tsn`.
_COARSE = {"finest_level": 1, "pyramid_widths": (32, 64, 96, 128)}

ROWS: tuple[Row, ...] = (
    _hts("tv-l1", "TV-L1", 14.75, _TVL1_VGG, frames=2, guessed=f"{PASS} {ONE_FLOW} {OUR_TVL1}"),
    _hts("flownet", "FlowNet", 52.08, not_here=OTHER),
    _hts("flownet2", "FlowNet2", 8.05, not_here=OTHER),
    _hts("nextflow", "NextFlow", 42.02, not_here=OTHER),
    _hts(
        "enhanced-mv",
        "Enhanced Motion Vectors",
        390.7,
        not_here="reads motion vectors of the video codec, which this library does not",
    ),
    _hts(
        "motionnet-2f",
        "MotionNet (2 frames)",
        48.54,
        Stream(_TEMPORAL),
        frames=2,
        guessed=f"{PASS} {ONE_FLOW}",
    ),
    _hts(
        "actionflownet-2f",
        "ActionFlowNet (2 frames)",
        200.0,
        _AFN_2F,
        frames=2,
        guessed=f"{PASS} {FLOW_OUTPUT}",
    ),
    _hts(
        "actionflownet-16f",
        "ActionFlowNet (16 frames)",
        None,
        Stream("actionflownet"),
        frames=16,
        guessed=f"{PASS} {FLOW_OUTPUT}",
    ),
    *(_hts(f"stacked-{x}", f"Stacked Temporal Stream CNN ({x})", 169.49, _STACKED) for x in "abc"),
    _hts("two-stream", "Two-Stream CNNs", 14.3, not_here=OTHER),
    _hts(
        "very-deep-two-stream",
        "Very Deep Two-Stream CNNs",
        12.8,
        Stream("two-stream-vgg16"),
        frames=2,
        guessed=f"{PASS} {ONE_FLOW} {OUR_TVL1}",
    ),
    *(_hts(f"hidden-{x}", f"Hidden Two-Stream CNNs ({x})", 120.48, _FUSED) for x in "abc"),
    _row(
        "hts-text/motionnet",
        HTS_TEXT,
        "MotionNet",
        370.0,
        "fps",
        TITAN_XP,
        Stream("motionnet"),
        frames=11,
        counted=1,
        guessed=PASS,
    ),
    _row("hts-text/flownet2", HTS_TEXT, "FlowNet2", 25.0, "fps", TITAN_XP, not_here=OTHER),
    _uf_tsn("pclnet", "PCLNet", 19.2, not_here=OTHER),
    _uf_tsn(
        "actionflownet",
        "ActionFlowNet",
        200.0,
        _AFN_2F,
        frames=2,
        counted=1,
        card=TITAN_XP,
        guessed=f"Quotes Hidden Two-Stream's Table 1. {PASS} {FLOW_OUTPUT}",
    ),
    _uf_tsn(
        "hidden-two-stream",
        "Hidden Two-stream",
        48.5,
        Stream(_TEMPORAL),
        frames=2,
        counted=1,
        card=TITAN_XP,
        guessed=f'Quotes "MotionNet (2 frames)" of Hidden Two-Stream\'s Table 1. {PASS} {ONE_FLOW}',
    ),
    _uf_tsn(
        "tvnet",
        "TV-Net",
        12.0,
        Stream("tvnet"),
        guessed=f"{FLOWS} The classifier is BN-Inception, 50 iterations.",
    ),
    _uf_tsn("motion-stream", "UF-TSN motion stream", 131.6, Stream("uf-tsn-temporal")),
    _uf_tsn(
        "motion-stream-coarse",
        "UF-TSN motion stream",
        131.6,
        Stream("uf-tsn-temporal", _COARSE),
        guessed=f"{FLOWS} The network of the paper may be this one, whose finest flow has half the "
        "size of the frames.",
    ),
    _uf_tsn(
        "motion-stream-batched",
        'UF-TSN, section 3.3: "over 300" with larger batches',
        300.0,
        Stream("uf-tsn-temporal"),
    ),
    _rf("2d-rgb", "2D CNN, RGB", 225, Stream(_2D, _RGB)),
    _rf("2d-flow", "2D CNN, Flow", 8039, Stream(_2D, _TVL1), guessed=f"{OUR_TVL1} {STACKED}"),
    _rf(
        "2d-two-stream",
        "2D CNN, Two-stream",
        8546,
        Stream(_2D, _LATE),
        guessed=f"{OUR_TVL1} {STACKED}",
    ),
    _rf(
        "2d-tvnet",
        "TVNet (+RGB)",
        785,
        Stream("tvnet", {"backbone": "resnet34"}),
        Stream(_2D, _RGB),
        guessed="ResNet-34 on all 31 flows at once, and ResNet-34 on the frames; mean of the "
        "logits.",
    ),
    _rf("2d-repflow", "Ours (2D CNN + Rep. Flow)", 524, Stream(_2D)),
    _rf("2d-fcf", "Ours (2D CNN + FcF)", 576, Stream(_2D, _FCF)),
    _rf("2plus1d-rgb", "(2+1)D, RGB R(2+1)D", 471, Stream(_2PLUS1D, _RGB), guessed=DEPTH),
    _rf(
        "2plus1d-two-stream",
        "(2+1)D, Two-Stream R(2+1)D",
        8623,
        Stream(_2PLUS1D, _LATE),
        guessed=f"{DEPTH} {OUR_TVL1} {STACKED}",
    ),
    _rf(
        "2plus1d-repflow",
        "Ours ((2+1)D CNN + Rep. Flow)",
        622,
        Stream(_2PLUS1D),
        guessed=DEPTH,
    ),
    _rf("2plus1d-fcf", "Ours ((2+1)D CNN + FcF)", 654, Stream(_2PLUS1D, _FCF), guessed=DEPTH),
    _rf("s3d-rgb", "RGB S3D", 525, not_here=OTHER),
    _rf("s3d-two-stream", "Two-Stream S3D", 8886, not_here=OTHER),
    _rf("i3d-rgb", "I3D (RGB)", 594, Stream("i3d")),
    _rf("i3d-flow", "I3D (Flow)", 8845, not_here="no network here feeds TV-L1 flow to I3D"),
    _rf("i3d-two-stream", "I3D (Two-Stream)", 9354, not_here="as I3D (Flow)"),
    _afn("resnet18-2f", "ResNet-18 on two frames", 1.0, Stream("resnet18-2f")),
    _afn("stacked-2f", 'Stacked: "2x more expensive for inference"', 2.0, Stream("stacked-2f")),
)


def find_rows(names: list[str]) -> list[Row]:
    """Returns the rows of those names, in the order of `ROWS`; a table's name means all its rows.

    Raises:
        ValueError: an unknown name; the message lists similar names.
    """
    tables = list(dict.fromkeys(row.name.partition("/")[0] for row in ROWS))
    known = [*tables, *(row.name for row in ROWS)]
    for name in names:
        if name not in known:
            raise ValueError(unknown_name("rows", name, known))
    return [row for row in ROWS if not names or {row.name, row.name.partition("/")[0]} & set(names)]
