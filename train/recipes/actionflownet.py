"""ActionFlowNet (Ng, Choi, Neumann, Davis 2018): flow and action from one network.

    python -m afn_jax.data.prepare SHARDS --data ucf101 --data.root UCF101 \\
      --data.short-side 256 --flow dis
    python -m train actionflownet --data shards --data.root SHARDS                 # from scratch
    python -m train actionflownet --stage flow --data shards --data.root SHARDS    # or in stages,
    python -m train actionflownet --stage joint --data shards --data.root SHARDS   # as in the paper
    python -m train actionflownet --scale toy

The first command decodes the videos once; reading them from their files at every step would keep a
GPU waiting (docs/data.md, "Shards").

A stage starts from the newest checkpoint of the stage in the last column, in its default folder.
Expected top-1 in % on split 1 (Table 1; `stacked-2f-chairs`: Table 3):

| stage | model of the paper | UCF101 | HMDB51: stage ...-hmdb51 | starts from |
|---|---|---|---|---|
| `scratch-2f` | Scratch | 51.3 | 23.9 | - |
| `flow-2f`, `flow-2f-chairs` | FlowNet, on UCF101 or FlyingChairs | - | - | - |
| `fine-tune-2f` | Fine-tune | 66.0 | 29.1 | `flow-2f` |
| `stacked-2f` | Stacked, flow fixed | 69.6 | 42.4 | `flow-2f` |
| `stacked-2f-chairs` | Stacked on FlyingChairs | 51.7 | - | `flow-2f-chairs` |
| `joint-2f` | ActionFlowNet-2F (UCF101) | 70.0 | 42.4 | `flow-2f` |
| `joint-2f-chairs` | ActionFlowNet-2F (FlCh+UCF101) | 71.0 | 42.6 | `flow-2f-chairs` |
| `flow` | multi-frame FlowNet | - | - | - |
| `fine-tune` | Multi-frame FlowNet fine-tune | 80.8 | 50.6 | `flow` |
| `joint` | ActionFlowNet (UCF101) | 83.9 | 56.4 | `flow` |
| none | like `joint`, with flow and action from the start | - | - | - |

"ImageNet pretrained ResNet-18", 80.7 and 47.1, is:

    python -m train actionflownet --stage scratch-2f --data.root UCF101 --run-dir runs/imagenet \\
      --model.name resnet18 --data.num-frames 1 \\
      --init.weights resnet18-f37072fd.pth --init.skip classifier

Endpoint errors of Table 3 on Sintel (`python -m eval flow`): 9.12 px for `flow-2f-chairs`, 11.84 px
for `flow-2f`; `python -m eval probe --run RUN --runs RUN=FLOW_FOLDER ...` compares them with the
accuracies.

All stages: 224 x 224, Adam at 3e-4 for 80,000 steps, dropout 0.5, multi-scale crops and flips;
color jitter where the action is learned (section 4.2). The paper does not name its hardware;
`joint` needs a GPU.

Guessed, because the paper does not report them: batch size; lambda = 1, so that an error of one
pixel everywhere costs 1; the weights of the scales (FlowNetS' balance, see
`afn_jax/losses/actionflownet.py`); the strength of the jitter; the same solver for every stage,
HMDB51 included. The flow of 16 frames is compared at the size of the target, not at its own. The
flow target is OpenCV's DIS instead of EpicFlow.

The paper tests with 64 random crops per video (section 4.2):

    python -m eval action --run RUN --protocol actionflownet

TOY: the same stages on `synthetic-motion`, 8 or 2 frames of 32 x 32. Without a stage it takes
10 to 20 minutes on 2 CPU cores, with the results in docs/results.md. A two-frame stage takes a
minute or two: `flow-2f` reaches an endpoint error of 0.47 to 0.49 px, where zero flow has 0.82 to
0.85 px (512 test clips, three seeds), `joint-2f` the same and a top-1 of 0.60 to 0.64, `stacked-2f`
a top-1 of 0.69 to 0.74 (chance 0.125). At 1/16 and 1/32 of 32 x 32 almost every pixel of the target
mixes two motions and is left out, so these scales have weight 0: with weights that favored them,
the flow was no better than zero flow after 2000 steps. `flow-2f-chairs` sees the same clips under
FlowNet's augmentation, which makes them different pictures."""

from dataclasses import replace

from afn_jax.data.config import DataConfig
from train.config import (
    AugmentConfig,
    InitConfig,
    ModelConfig,
    ObjectiveConfig,
    OptimConfig,
    TrainConfig,
)
from train.recipes.toy import after, toy, toy_data

JITTER = AugmentConfig(brightness=0.4, contrast=0.4, saturation=0.4)

PAPER = TrainConfig(
    recipe="actionflownet",
    scale="paper",
    steps=80_000,
    batch_size=16,  # guessed
    data=DataConfig(source="video-folder", num_frames=16, size=(224, 224), short_side=256),
    model=ModelConfig(name="actionflownet", width=64, flow_stride=4, dropout_rate=0.5),
    objective=ObjectiveConfig(flow="endpoint", flow_weight=1.0),
    optim=OptimConfig(learning_rate=3e-4),
    augment=JITTER,
    test_every=2000,
    checkpoint_every=1000,
    test_clips=64,
    protocol="actionflownet",
)

TOY = TrainConfig(
    recipe="actionflownet",
    scale="toy",
    steps=4000,
    batch_size=16,
    data=DataConfig(
        source="synthetic-motion",
        num_frames=8,
        size=(32, 32),
        short_side=40,
        crop_scales=(1.0,),
        flip=False,
        test_videos=1024,
        num_threads=1,  # rendering holds the GIL: a second thread would only slow it down
    ),
    model=ModelConfig(name="actionflownet", width=12, flow_stride=2, dropout_rate=0.5),
    objective=ObjectiveConfig(flow="endpoint", flow_weight=3.0),
    optim=OptimConfig(learning_rate=2e-3, schedule="cosine", warmup_steps=100),
    augment=AugmentConfig(brightness=0.2, contrast=0.2, saturation=0.2),
    test_every=500,
    checkpoint_every=500,
)

_UCF101 = replace(PAPER.data, source="ucf101")
_PAIRS = replace(_UCF101, num_frames=2)
_NEW_CLASSES = ("^classifier/",)


def _stage(
    name: str, model: str, flow: str, action: bool = True, init: InitConfig | None = None
) -> TrainConfig:
    """A stage on UCF101; with pairs of frames if its name contains -2f."""
    two = "-2f" in name
    return replace(
        PAPER,
        stage=name,
        data=_PAIRS if two else _UCF101,
        model=ModelConfig(name=model, dropout_rate=0.5),
        objective=ObjectiveConfig(flow=flow, action=action, flow_weight=1.0),
        augment=JITTER if action else AugmentConfig(),
        batch_size=64 if two else 16,  # guessed
        init=init or InitConfig(),
    )


def _hmdb51(config: TrainConfig) -> TrainConfig:
    """The same stage on HMDB51, starting from the network trained on UCF101 (section 4.1)."""
    return replace(
        config,
        stage=f"{config.stage}-hmdb51",
        data=replace(config.data, source="hmdb51"),
        init=after(config, skip=_NEW_CLASSES),
    )


def _fine_tune(name: str, model: str, flow: TrainConfig) -> TrainConfig:
    # The action alone: the flow decoder is dropped.
    return _stage(name, model, "none", init=after(flow, skip=("^decoder/", *_NEW_CLASSES)))


def _stacked(name: str, flow: TrainConfig) -> TrainConfig:
    init = after(flow, at="flownet")
    config = _stage(name, "stacked-2f", "none", init=init)
    return replace(
        config,
        model=replace(config.model, options=("freeze_flow=true",)),
        optim=replace(config.optim, groups=("^flownet/=0", ".*=1")),
    )


def _joint(name: str, model: str, flow_loss: str, flow: TrainConfig) -> TrainConfig:
    return _stage(name, model, flow_loss, init=after(flow, skip=_NEW_CLASSES))


def _all_paper() -> list[TrainConfig]:
    flow_2f = _stage("flow-2f", "flownet-2f", "multiscale", action=False)
    chairs = replace(
        flow_2f,
        stage="flow-2f-chairs",
        data=replace(_PAIRS, source="flying-chairs", crop="flownet"),
        test_clips=1,  # a pair has room for one clip
    )
    flow = _stage("flow", "flownet", "endpoint", action=False)
    action = [
        _stage("scratch-2f", "resnet18-2f", "none"),
        _fine_tune("fine-tune-2f", "resnet18-2f", flow_2f),
        _stacked("stacked-2f", flow_2f),
        _joint("joint-2f", "actionflownet-2f", "multiscale", flow_2f),
        _joint("joint-2f-chairs", "actionflownet-2f", "multiscale", chairs),
        _fine_tune("fine-tune", "actionflownet", flow),
        _joint("joint", "actionflownet", "endpoint", flow),
    ]
    with_hmdb51 = [config for pair in ((a, _hmdb51(a)) for a in action) for config in pair]
    return [flow_2f, chairs, _stacked("stacked-2f-chairs", chairs), flow, *with_hmdb51]


_FINE_SCALES = ("epe_scale1=1", "epe_scale2=0.3", "epe_scale3=0", "epe_scale4=0")


def _toy(paper: TrainConfig) -> TrainConfig:
    objective = paper.objective
    if "-2f" in paper.stage:
        objective = replace(objective, flow_weight=10.0)
        if objective.flow == "multiscale":
            objective = replace(objective, term_weights=_FINE_SCALES)
        steps = 1000 if paper.init.run else 1500
        fields = {"width": 24, "steps": steps, "learning_rate": 2e-3}
        if paper.data.crop == "flownet":  # different pictures than the action stages
            fields["data"] = replace(toy_data(2), crop="flownet")
        return toy(paper, objective=objective, frames=2, **fields)
    return toy(
        paper,
        objective=replace(objective, flow_weight=3.0),
        width=12,
        steps=600,
        frames=8,
        learning_rate=2e-3,
        flow_stride=2,
    )


STAGES = {"": {"paper": PAPER, "toy": TOY}}
STAGES |= {config.stage: {"paper": config, "toy": _toy(config)} for config in _all_paper()}
