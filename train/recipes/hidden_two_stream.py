"""Hidden Two-Stream Networks (Zhu, Lan, Newsam, Hauptmann 2018): MotionNet and two streams.

    python -m afn_jax.data.prepare SHARDS --data ucf101 --data.root UCF101 \\
      --data.short-side 256
    python -m train hidden-two-stream --stage motionnet --data shards --data.root SHARDS
    python -m train hidden-two-stream --stage temporal-c --data shards --data.root SHARDS
    python -m train hidden-two-stream --stage all --scale toy

The first command decodes the videos once; reading them from their files at every step would keep a
GPU waiting (docs/data.md, "Shards").

Top-1 in %, on split 1 of UCF101 (Table 1), and for the stages with -tsn and -i3d the two-stream
result over three splits of UCF101 / HMDB51 (Table 4; VGG16 there 90.3 / 60.5):

| stage | what | expected | two-stream | starts from |
|---|---|---|---|---|
| `motionnet` | MotionNet, without labels (Eq. 1-6) | - | - | - |
| `temporal-a` | (a) MotionNet fixed | 83.76 | 87.50 | `motionnet` |
| `temporal-b` | (b) all tuned, action loss | 84.04 | 87.99 | `motionnet` |
| `temporal-c` | (c) all tuned, all losses | 84.88 | 89.82 | `motionnet` |
| `temporal-c-hmdb51` | (c) on HMDB51 | - | 60.5 | `motionnet` |
| `spatial`, `spatial-hmdb51` | VGG16 on single frames | 80.97 | - | `--init.weights` |
| `branched` | one network for both (section 3.2) | in the supplement | - | `motionnet` |
| `temporal-c-tsn`, `spatial-tsn` | TSN, three segments | - | 93.2 / 66.8 | `motionnet`; - |
| `temporal-c-i3d`, `spatial-i3d` | I3D | - | 97.1 / 78.7 | `motionnet`; - |

The streams are trained separately. A two-stream result is the late fusion of the scores of
`spatial` and a temporal stage, with weights 1 and 1.5, each over 25 clips x 10 crops per video
(section 3.3):

    python -m eval action --run RUN --protocol hidden-two-stream
    python -m eval fuse --scores SPATIAL_RUN TEMPORAL_RUN

Published weights are optional: the paper starts VGG16 from ImageNet weights, and temporal streams
from the weights of flow streams. torchvision does not have the latter, but ImageNet weights fit
there too. It does not have TSN's BN-Inception or I3D either: `*-tsn` and `*-i3d` start from random
parameters here, so the paper's numbers, from pretrained networks, are out of reach in so few steps.

    python -m train hidden-two-stream --stage spatial --data.root UCF101 \\
      --init.weights vgg16-397923af.pth --init.architecture vgg16 --init.skip classifier
    python -m train hidden-two-stream --stage temporal-c --data.root UCF101 \\
      --init.weights vgg16-397923af.pth --init.architecture vgg16 --init.skip classifier \\
      --init.at temporal/vgg16 --init.input-channels average

The rows of Table 2 are overrides of `motionnet`, and of `temporal-c` after it, each in its own
folder (`--run-dir`, `--init.run`): "Small Disp" `--model.options encoder=large`, "CDC"
`--model.options extra_convolutions=false`, "MultiScale" `--model.options multiscale=false`, SSIM
`--objective.term-weights ssim=0`, smoothness `--objective.term-weights smooth=0`. "tiny":
`--model.options encoder=tiny`. "MotionNet (2 frames)", 84.09 in Table 1, is `motionnet` with
`--data.num-frames 2`, then `temporal-a` with `--model.options freeze_flow=true flow_frames=2`.

MotionNet's flow (Table 3): endpoint error 11.93 px on Sintel, 7.5 px on KITTI 2012, 0.91 px on
Middlebury; Fl 30.65 % on KITTI 2015.

From the authors' released solvers: MotionNet alone uses Adam at 3.2e-5, halved at 100k, 200k, 250k,
300k and 350k of 400k steps, weight decay 4e-4, batch size 16. Training together uses SGD, momentum
0.9, weight decay 5e-4, 128 clips per step; MotionNet at 1e-6, VGG16 at 1e-3 and its biases at twice
that, all divided by 10 at 5k and 9.5k of 16k steps (HMDB51: 5k and 7k of 8.5k). Transposed
convolutions have no weight decay. `accumulate=16` is for one GPU such as the paper's Titan X; with
N GPUs, or larger ones, use --optim.accumulate 16 / N. Dropout of VGG16: 0.9 and 0.8.

Guessed: clipping at norm 20, as TSN does for flow streams (as in Caffe, it is the norm of all
gradients before the group factors, so with all losses it includes MotionNet's gradients); the
solvers of `spatial` (Wang et al. 2015: 10k steps, divided by 10 at 4k and 8k) and TSN (Wang et al.
2016), as published there; the I3D solver entirely; `branched` as `temporal-c`, so its shared
encoder learns at 1e-6. The short side of frames is 256, while the authors resize all frames to 340
x 256. The authors say that diverging in the first hundred steps is normal; starting with a lower
rate helps, e.g. --optim.warmup-steps 500.

The weight of SSIM belongs to a sum over the pairs that MotionNet sees, as in the authors' network:
with two frames it is a tenth of that with eleven.

TOY: the same on `synthetic-motion`, 6 frames of 32 x 32 (TSN: 3 x 6, I3D: 11). Measured on 512 test
clips, three seeds: endpoint error 0.56 to 0.58 px after `motionnet`, where zero flow has 0.82 to
0.85 px; 58 to 60 % top-1 after `temporal-c`, where chance is 12.5 %. A single frame carries no
information about these classes, so spatial streams stay at chance. VGG16 warms up for 120 steps:
with 30, some seeds stayed at chance.
"""

import re
from dataclasses import replace

from afn_jax.data.config import DataConfig
from train.config import InitConfig, ModelConfig, ObjectiveConfig, OptimConfig, TrainConfig
from train.recipes.toy import after, toy

_UCF101 = DataConfig(
    source="ucf101",
    num_frames=11,
    size=(224, 224),
    short_side=256,
    crop="corners",
    teacher="none",
)
_HMDB51 = replace(_UCF101, source="hmdb51")
_CLIP_NORM = 20.0  # guessed
_NO_DECAY = (r"(^|/)(deconv|upflow)\d+/",)

MOTIONNET = TrainConfig(
    recipe="hidden-two-stream",
    stage="motionnet",
    scale="paper",
    steps=400_000,
    batch_size=16,
    data=_UCF101,
    model=ModelConfig(name="motionnet"),
    objective=ObjectiveConfig(flow="motionnet", action=False),
    optim=OptimConfig(
        learning_rate=3.2e-5,
        schedule="steps",
        boundaries=(100_000, 200_000, 250_000, 300_000, 350_000),
        factor=0.5,
        weight_decay=4e-4,
        no_decay=_NO_DECAY,
        clip_norm=_CLIP_NORM,
    ),
    test_every=5000,
    checkpoint_every=2000,
    test_clips=25,
    protocol="hidden-two-stream",
)

_SOLVER = OptimConfig(
    optimizer="sgd",
    learning_rate=1e-3,
    schedule="steps",
    boundaries=(5000, 9500),
    weight_decay=5e-4,
    no_decay=_NO_DECAY,
    clip_norm=_CLIP_NORM,
    groups=("^motionnet/=0.001", "bias$=2", ".*=1"),
    accumulate=16,
)
_FRAMES = replace(_SOLVER, no_decay=())  # spatial streams have no transposed convolutions
_TEMPORAL = replace(
    MOTIONNET,
    steps=16_000,
    batch_size=128,
    init=after(MOTIONNET, at="motionnet"),
    optim=_SOLVER,
    test_every=500,
    checkpoint_every=250,
)


def _temporal(stage: str, backbone: str, flow: str, **changes) -> TrainConfig:
    return replace(
        _TEMPORAL,
        stage=stage,
        model=ModelConfig(name=f"hidden-temporal-{backbone}"),
        objective=ObjectiveConfig(flow=flow),
        **changes,
    )


def _spatial(stage: str, backbone: str, **changes) -> TrainConfig:
    config = replace(
        _TEMPORAL,
        stage=stage,
        steps=10_000,
        batch_size=256,
        init=InitConfig(),
        data=replace(_UCF101, num_frames=1),
        model=ModelConfig(name=f"spatial-{backbone}"),
        objective=ObjectiveConfig(flow="none"),
        optim=replace(_FRAMES, boundaries=(4000, 8000), groups=("bias$=2", ".*=1"), accumulate=1),
    )
    return replace(config, **changes)


TEMPORAL_A = _temporal("temporal-a", "vgg16", "none")
TEMPORAL_A = replace(
    TEMPORAL_A,
    model=replace(TEMPORAL_A.model, options=("freeze_flow=true",)),
    optim=replace(_SOLVER, groups=("^motionnet/=0", "bias$=2", ".*=1")),
)
TEMPORAL_B = _temporal("temporal-b", "vgg16", "none")
TEMPORAL_C = _temporal("temporal-c", "vgg16", "motionnet")
TEMPORAL_C_HMDB51 = replace(
    TEMPORAL_C,
    stage="temporal-c-hmdb51",
    steps=8500,
    data=_HMDB51,
    optim=replace(_SOLVER, boundaries=(5000, 7000)),
)
SPATIAL = _spatial("spatial", "vgg16")
SPATIAL_HMDB51 = replace(SPATIAL, stage="spatial-hmdb51", data=replace(_HMDB51, num_frames=1))
BRANCHED = replace(
    TEMPORAL_C,
    stage="branched",
    model=ModelConfig(name="hidden-branched"),
    init=after(MOTIONNET, skip=("^classifier/",)),
    optim=replace(_SOLVER, groups=("^classifier/=1", ".*=0.001")),
)

# Wang et al. 2016. MotionNet stays at 1e-6.
_SEGMENTS = {"sampling": "segments", "num_segments": 3, "crop_scales": (1.0, 0.875, 0.75, 0.66)}
TEMPORAL_C_TSN = _temporal(
    "temporal-c-tsn",
    "tsn",
    "motionnet",
    steps=18_000,
    data=replace(_UCF101, num_frames=33, **_SEGMENTS),
    optim=replace(
        _SOLVER,
        learning_rate=5e-3,
        boundaries=(10_000, 16_000),
        groups=("^motionnet/=0.0002", ".*=1"),
    ),
)
SPATIAL_TSN = _spatial(
    "spatial-tsn",
    "tsn",
    steps=3500,
    batch_size=128,
    data=replace(_UCF101, num_frames=3, **_SEGMENTS),
    optim=replace(_FRAMES, boundaries=(1500, 3000), clip_norm=40.0, groups=(), accumulate=1),
)
# Guessed entirely.
TEMPORAL_C_I3D = _temporal(
    "temporal-c-i3d",
    "i3d",
    "motionnet",
    batch_size=64,
    data=replace(_UCF101, num_frames=61),
    optim=replace(_SOLVER, learning_rate=1e-2, groups=("^motionnet/=0.0001", ".*=1")),
)
SPATIAL_I3D = _spatial(
    "spatial-i3d",
    "i3d",
    steps=16_000,
    batch_size=64,
    data=replace(_UCF101, num_frames=64),
    optim=replace(_FRAMES, learning_rate=1e-2, groups=(), accumulate=8),
)


def _toy(paper: TrainConfig) -> TrainConfig:
    fields = {"width": 8, "dropout_rate": 0.2}
    if "vgg16" in paper.model.name or paper.stage == "branched":
        # Without normalization, some seeds stay at chance after a short warm-up.
        fields["warmup_steps"] = 120
    if paper.stage == "motionnet":
        fields = {"width": 8, "steps": 1200, "learning_rate": 2e-3}
    if paper.objective.flow != "none":
        # Motion covers few pixels of these small maps: the paper's weight would smooth it away.
        fields["objective"] = replace(paper.objective, term_weights=("smooth=0.1",))
    frames = {"temporal-c-tsn": 18, "temporal-c-i3d": 11, "spatial-tsn": 3, "spatial-i3d": 8}
    usual = 1 if paper.stage.startswith("spatial") else 6
    if paper.stage == "temporal-c-i3d":
        fields["options"] = ("flow_frames=6",)
    # MotionNet at a tenth of the rate: at the paper's factor 600 steps would not change it.
    groups = tuple(re.sub(r"=0\.0\d+$", "=0.1", group) for group in paper.optim.groups)
    fields = {"steps": 600, "learning_rate": 1e-3} | fields
    return toy(paper, frames=frames.get(paper.stage, usual), groups=groups, **fields)


_ALL = (
    MOTIONNET,
    TEMPORAL_A,
    TEMPORAL_B,
    TEMPORAL_C,
    TEMPORAL_C_HMDB51,
    SPATIAL,
    SPATIAL_HMDB51,
    BRANCHED,
    TEMPORAL_C_TSN,
    SPATIAL_TSN,
    TEMPORAL_C_I3D,
    SPATIAL_I3D,
)
STAGES = {config.stage: {"paper": config, "toy": _toy(config)} for config in _ALL}
