"""The papers' findings as comparisons of runs.

A finding has arms and claims. An arm is a chain of stages of a recipe, each with its changes; the
last stage is evaluated. Arms with the same first stages share those runs. A claim compares a number
of two arms.
"""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Stage:
    """A stage of a recipe with changes.

    Attributes:
        recipe: name of the recipe.
        stage: name of the stage; "" for a recipe without stages.
        options: fields of the network, FIELD=VALUE, which are added to those of the recipe.
        changes: dotted fields of the settings and their values.
    """

    recipe: str
    stage: str = ""
    options: tuple[str, ...] = ()
    changes: tuple[tuple[str, object], ...] = ()


@dataclasses.dataclass(frozen=True)
class Fused:
    """Late fusion of two arms of the same finding, with Hidden Two-Stream's weights 1 and 1.5.

    It fuses probabilities, which every arm here averages over the clips of a video. The paper uses
    scores before the softmax for both.
    """

    spatial: str
    temporal: str
    weights: tuple[float, float] = (1.0, 1.5)


Arm = tuple[Stage, ...] | Fused
Quantity = tuple[str, str] | float  # (arm, name of one of its numbers), or a constant


@dataclasses.dataclass(frozen=True)
class Claim:
    """A claim: `more` is larger than `less`.

    Attributes:
        more: an arm with "top1", "epe", "train_top1" (accuracy on the training clips in the last
            tenth of the training) or "fall_TERM" (a loss in the last tenth of the training divided
            by the loss in the first tenth).
        less: the same for the other side.
        within: if not 0, the claim is instead that both differ by no more than this. Guessed: no
            paper quantifies "close".
        no_worse: the claim is that `more` is larger, or smaller by no more than `within`.
    """

    more: Quantity
    less: Quantity
    within: float = 0.0
    no_worse: bool = False


@dataclasses.dataclass(frozen=True)
class Finding:
    """A finding of a paper; it holds if all of its claims hold.

    Attributes:
        paper: name of the paper, and its table or figure.
        says: the finding in one sentence.
        claims: the comparisons that make up the finding.
        arms: the runs that the claims compare, by name. Stored results use these names.
        on_videos: whether the finding is tested on real videos too.
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
    """MotionNet, possibly without one of its practices, and then the classifier on its flow."""
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
_EARLY = "flow_after=1"  # after block 3, a toy clip is down to two 4 x 4 maps: accuracy at chance
_ON_TVL1 = Stage(
    "representation-flow",
    "mini-kinetics",
    ("composition=tvl1", "flow_after=0", "learned=[]"),
    (("data.num_frames", 3), ("model.width", 16)),  # as in UF-TSN
)

FINDINGS: dict[str, Finding] = {
    "joint": Finding(
        "ActionFlowNet, Table 1",
        "Joint learning of flow and action beats fine-tuning a flow network, which beats training "
        "from scratch.",
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
        "Many frames beat two frames.",
        (_beats("many frames", "two frames"),),
        {
            "many frames": (*_BEFORE, _afn("joint")),
            "two frames": (_afn("flow-2f"), _afn("joint-2f")),
        },
    ),
    "stacked": Finding(
        "ActionFlowNet, Table 1",
        "One network for both tasks is as good as two stacked networks with twice the parameters.",
        (_close("one network", "two networks"),),
        {
            "one network": (_afn("flow-2f"), _afn("joint-2f")),
            "two networks": (_afn("flow-2f"), _afn("stacked-2f")),
        },
    ),
    "chairs": Finding(
        "ActionFlowNet, Table 1",
        "Pretraining on the true flow of other images helps, and it helps more than pretraining "
        "on the same images.",
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
        "Fine-tuning MotionNet with all losses (c) is no worse than with the action loss alone "
        "(b), which is no worse than a fixed MotionNet (a).",
        (_no_worse("(c)", "(b)"), _no_worse("(b)", "(a)")),
        {f"({mode})": (*_MOTIONNET, _hts(f"temporal-{mode}")) for mode in "abc"},
    ),
    "two-stream": Finding(
        "Hidden Two-Stream, Table 1",
        "Fusing both streams beats the temporal stream alone.",
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
        "Each of MotionNet's practices helps: small displacements, SSIM, extra convolutions, "
        "smoothness, multiple scales.",
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
            # smooth=0.1 is the toy scale's weight, which `terms` would otherwise replace.
            "no SSIM": _practice(terms=("smooth=0.1", "ssim=0")),
            "no extra convolutions": _practice("extra_convolutions=false"),
            "no smoothness": _practice(terms=("smooth=0",)),
            "no scales": _practice("multiscale=false"),
        },
    ),
    "uf-tsn": Finding(
        "UF-TSN, Table 2",
        "The cost volume and multiple scales each help.",
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
        "As input to a classifier, flow learned without labels is as good as TV-L1 flow.",
        (_close("learned", "TV-L1"),),
        {"learned": _uf(), "TV-L1": (_ON_TVL1,)},
        on_videos=True,
    ),
    "depth": Finding(
        "Representation Flow, Table 1",
        "The flow layer after a block beats the flow layer on the frames.",
        (_beats("after block 2", "on frames"), _beats("after block 2", "without")),
        {
            "after block 2": _rf("flow_after=2"),
            "on frames": _rf("flow_after=0"),
            "without": _rf(_FLOW_OFF),
        },
    ),
    # At the paper's learning rate factor of 0.01, tau, lambda and theta move by at most 2 to 3 % in
    # the 400 steps of the toy scale, whose optimizer is Adam. Arms that learn them use factor 0.1.
    "learned": Finding(
        "Representation Flow, Table 2",
        "Learning the divergence kernels helps, and so does learning tau, lambda and theta; "
        "learning the gradient kernels (Sobel in the paper) does not.",
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
        "Accuracy rises with the number of iterations and levels off; learned parameters need "
        "fewer iterations.",
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
        "Flow-conv-flow beats a single flow layer, which beats flow-of-flow.",
        (_beats("flow-conv-flow", "flow"), _beats("flow", "flow-of-flow")),
        {
            name: _rf(_EARLY, f"composition={name}")
            for name in ("flow-conv-flow", "flow", "flow-of-flow")
        },
    ),
    "3d": Finding(
        "Representation Flow, Tables 6 and 7",
        "The flow layer improves 3D and (2+1)D networks.",
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
        "The flow loss and the action loss fall together, and the network overfits: the accuracy "
        "is higher on the training videos than on held-out videos.",
        (
            Claim(1.0, ("joint", "fall_flow")),
            Claim(1.0, ("joint", "fall_cross_entropy")),
            Claim(("joint", "train_top1"), ("joint", "top1")),
        ),
        {"joint": (Stage("odabasi", changes=(("data.train_videos", 256),)),)},
    ),
}
