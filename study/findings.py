"""What the papers found, as comparisons of runs: values, not code.

An arm is a chain of stages of a recipe, each with what it changes; the last one is measured. Arms
with the same first stages share those runs. A claim compares two arms by a number of theirs.
"""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Stage:
    """A stage of a recipe with changes.

    Attributes:
        recipe: its name.
        stage: of the recipe; "" for a recipe without stages.
        options: fields of the network, FIELD=VALUE, on top of the recipe's.
        changes: dotted fields of the settings and their values.
    """

    recipe: str
    stage: str = ""
    options: tuple[str, ...] = ()
    changes: tuple[tuple[str, object], ...] = ()


@dataclasses.dataclass(frozen=True)
class Fused:
    """The scores of two arms of the same finding, fused 1 to 1.5, as Hidden Two-Stream does.

    Probabilities, as the clips of a video are averaged for every arm here; the paper has scores
    before softmax for both.
    """

    spatial: str
    temporal: str
    weights: tuple[float, float] = (1.0, 1.5)


Arm = tuple[Stage, ...] | Fused
Quantity = tuple[str, str] | float  # (arm, one of its numbers), or a number


@dataclasses.dataclass(frozen=True)
class Claim:
    """`more` is larger than `less`.

    Attributes:
        more: of an arm, "top1", "epe", "train_top1" (accuracy on the training clips in the last
            tenth of the training) or "fall_TERM" (a loss then, over the same in the first tenth).
        less: likewise.
        within: if not 0, the claim is instead that both differ by no more than this. Guessed: no
            paper says what it calls close.
        no_worse: the claim is that `more` is larger, or smaller by no more than `within`.
    """

    more: Quantity
    less: Quantity
    within: float = 0.0
    no_worse: bool = False


@dataclasses.dataclass(frozen=True)
class Finding:
    """One finding of a paper; it holds if all of its claims do.

    Attributes:
        paper: and table.
        says: the finding, in a sentence.
        claims: what has to be so.
        arms: what has to be run, by name.
        on_videos: whether it is tried on real videos too.
    """

    paper: str
    says: str
    claims: tuple[Claim, ...]
    arms: dict[str, Arm]
    on_videos: bool = False


def _beats(better: str, worse: str) -> Claim:
    return Claim((better, "top1"), (worse, "top1"))


def _close(one: str, other: str) -> Claim:
    return Claim((one, "top1"), (other, "top1"), within=0.05)


def _no_worse(one: str, other: str) -> Claim:
    return Claim((one, "top1"), (other, "top1"), within=0.05, no_worse=True)


def _afn(stage: str, **kw) -> Stage:
    return Stage("actionflownet", stage, **kw)


def _hts(stage: str, **kw) -> Stage:
    return Stage("hidden-two-stream", stage, **kw)


def _rf(*options: str, model: str = "", learning: bool = False) -> tuple[Stage, ...]:
    changes = (("model.name", model), ("steps", 500), ("data.num_frames", 8)) if model else ()
    if learning:
        changes += (("optim.groups", _LEARNING),)
    return (Stage("representation-flow", "mini-kinetics", options, changes),)


def _practice(*options: str, terms: tuple[str, ...] = ()) -> tuple[Stage, ...]:
    """MotionNet without one of its practices, and the classifier on its flow."""
    weights = (("objective.term_weights", terms),) if terms else ()
    return (
        _hts("motionnet", options=options, changes=weights),
        _hts("temporal-a", options=options),
    )


def _uf(*options: str) -> tuple[Stage, ...]:
    return tuple(Stage("uf-tsn", stage, options) for stage in ("flow", "warm-up"))


_BEFORE = (_afn("flow"),)
_SCRATCH = Stage("actionflownet", "fine-tune", changes=(("init.run", ""),))
_MOTIONNET = (_hts("motionnet"),)
_FLOW_OFF = "composition=none"
_LEARNING = ("^flow_layer/flow=0.1", ".*=1")
_EARLY = "flow_after=1"  # after block 3 two maps of 4 x 4 are left of a toy clip: at chance
_ON_TVL1 = Stage(
    "representation-flow",
    "mini-kinetics",
    ("composition=tvl1", "flow_after=0", "learned=[]"),
    (("data.num_frames", 3), ("model.width", 16)),  # as UF-TSN
)

FINDINGS: dict[str, Finding] = {
    "joint": Finding(
        "ActionFlowNet, Table 1",
        "Learning flow and action together beats fine-tuning a flow network, which beats scratch.",
        (_beats("joint", "fine-tune"), _beats("fine-tune", "scratch")),
        {
            "joint": (*_BEFORE, _afn("joint")),
            "fine-tune": (*_BEFORE, _afn("fine-tune")),
            "scratch": (_SCRATCH,),
        },
        on_videos=True,
    ),
    "multi-frame": Finding(
        "ActionFlowNet, Table 1",
        "Many frames beat two.",
        (_beats("many frames", "two frames"),),
        {
            "many frames": (*_BEFORE, _afn("joint")),
            "two frames": (_afn("flow-2f"), _afn("joint-2f")),
        },
    ),
    "stacked": Finding(
        "ActionFlowNet, Table 1",
        "One network for both tasks is as good as two in a row, which have twice its parameters.",
        (_close("one network", "two networks"),),
        {
            "one network": (_afn("flow-2f"), _afn("joint-2f")),
            "two networks": (_afn("flow-2f"), _afn("stacked-2f")),
        },
    ),
    "chairs": Finding(
        "ActionFlowNet, Table 1",
        "Flow learned before from other pictures, with true flow, helps, and more than from the "
        "same ones.",
        (
            _beats("other pictures first", "same pictures first"),
            _beats("other pictures first", "at once"),
        ),
        {
            "other pictures first": (_afn("flow-2f-chairs"), _afn("joint-2f-chairs")),
            "same pictures first": (_afn("flow-2f"), _afn("joint-2f")),
            "at once": (_afn("joint-2f", changes=(("init.run", ""),)),),
        },
    ),
    "fine-tuning": Finding(
        "Hidden Two-Stream, Table 1",
        "Tuning MotionNet with all losses (c) is no worse than with the action loss (b), and that "
        "no worse than fixed (a).",
        (_no_worse("(c)", "(b)"), _no_worse("(b)", "(a)")),
        {f"({mode})": (*_MOTIONNET, _hts(f"temporal-{mode}")) for mode in "abc"},
    ),
    "two-stream": Finding(
        "Hidden Two-Stream, Table 1",
        "Both streams fused beat the temporal one.",
        (_beats("fused", "temporal"),),
        {
            "temporal": (*_MOTIONNET, _hts("temporal-c")),
            "spatial": (_hts("spatial"),),
            "fused": Fused("spatial", "temporal"),
        },
        on_videos=True,
    ),
    "practices": Finding(
        "Hidden Two-Stream, Table 2",
        "Each practice of MotionNet helps: small displacements, SSIM, extra convolutions, "
        "smoothness, several scales.",
        tuple(
            _beats("all", f"no {what}")
            for what in (
                "small displacements",
                "SSIM",
                "extra convolutions",
                "smoothness",
                "scales",
            )
        ),
        {
            "all": _practice(),
            "no small displacements": _practice("encoder=large"),
            "no SSIM": _practice(terms=("smooth=0.1", "ssim=0")),  # as the toy scale has it
            "no extra convolutions": _practice("extra_convolutions=false"),
            "no smoothness": _practice(terms=("smooth=0",)),
            "no scales": _practice("multiscale=false"),
        },
    ),
    "uf-tsn": Finding(
        "UF-TSN, Table 2",
        "The cost volume and the scales each help.",
        (
            _beats("both", "no scales"),
            _beats("no scales", "neither"),
            Claim(("no scales", "epe"), ("both", "epe")),
            Claim(("neither", "epe"), ("no scales", "epe")),
        ),
        {
            "both": _uf(),
            "no scales": _uf("multi_scale=false"),
            "neither": _uf("multi_scale=false", "use_cost_volume=false"),
        },
    ),
    "unsupervised": Finding(
        "UF-TSN, Table 2",
        "Flow learned without labels is as good a classifier's input as TV-L1.",
        (_close("learned", "TV-L1"),),
        {"learned": _uf(), "TV-L1": (_ON_TVL1,)},
        on_videos=True,
    ),
    "depth": Finding(
        "Representation Flow, Table 1",
        "The layer after a block beats the layer on the frames.",
        (_beats("after block 2", "on frames"), _beats("after block 2", "without")),
        {
            "after block 2": _rf("flow_after=2"),
            "on frames": _rf("flow_after=0"),
            "without": _rf(_FLOW_OFF),
        },
    ),
    # At the paper's share of the rate, .01, tau, lambda and theta cannot move by more than 2 or 3 %
    # in the 400 steps of the toy scale, whose solver is Adam: where learning them is the question,
    # they have .1 of it.
    "learned": Finding(
        "Representation Flow, Table 2",
        "Learning the divergence, or tau, lambda and theta, helps; learning the kernels of the "
        "gradients (Sobel's, in the paper) does not.",
        (
            _beats("divergence", "nothing"),
            _beats("tau, lambda, theta", "nothing"),
            _beats("nothing", "gradients"),
        ),
        {
            "nothing": _rf("learned=[]"),
            "divergence": _rf('learned=["divergence"]', learning=True),
            "tau, lambda, theta": _rf('learned=["tau","lam","theta"]', learning=True),
            "gradients": _rf('learned=["image_gradient","flow_gradient"]', learning=True),
        },
    ),
    "iterations": Finding(
        "Representation Flow, Table 3",
        "Accuracy rises with the iterations and levels off; what is learned needs fewer.",
        (
            _beats("10 learned", "1 learned"),
            _close("20 learned", "10 learned"),
            _beats("1 learned", "1 fixed"),
        ),
        {
            **{f"{n} learned": _rf(f"num_iterations={n}", learning=True) for n in (1, 10, 20)},
            "1 fixed": _rf("num_iterations=1", "learned=[]"),
        },
    ),
    "composition": Finding(
        "Representation Flow, Table 5",
        "Flow, convolution, flow beats one layer, which beats the flow of the flow.",
        (_beats("flow-conv-flow", "flow"), _beats("flow", "flow-of-flow")),
        {
            name: _rf(_EARLY, f"composition={name}")
            for name in ("flow-conv-flow", "flow", "flow-of-flow")
        },
    ),
    "3d": Finding(
        "Representation Flow, Tables 6 and 7",
        "The layer adds to 3D and to (2+1)D networks.",
        (
            _beats("3D with the layer", "3D"),
            _beats("(2+1)D with the layer", "(2+1)D"),
        ),
        {
            "3D with the layer": _rf(_EARLY, model="repflow-r3d18"),
            "3D": _rf(_FLOW_OFF, model="repflow-r3d18"),
            "(2+1)D with the layer": _rf(_EARLY, model="repflow-r2plus1d18"),
            "(2+1)D": _rf(_FLOW_OFF, model="repflow-r2plus1d18"),
        },
        on_videos=True,
    ),
    "odabasi": Finding(
        "Odabasi, Figures 2 and 3",
        "The losses of flow and of action fall together, and the accuracy on the training videos "
        "leaves that on others behind.",
        (
            Claim(1.0, ("joint", "fall_flow")),
            Claim(1.0, ("joint", "fall_cross_entropy")),
            Claim(("joint", "train_top1"), ("joint", "top1")),
        ),
        {"joint": (Stage("odabasi", changes=(("data.train_videos", 256),)),)},
    ),
}
