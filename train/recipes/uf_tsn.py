"""UF-TSN (Yang, Kong, Yang 2021): an unsupervised flow estimator inside a temporal stream.

    python -m afn_jax.data.prepare SHARDS --data ucf101 --data.root UCF101 \\
      --data.short-side 256
    python -m train uf-tsn --stage flow --data shards --data.root SHARDS
    python -m train uf-tsn --stage warm-up --data shards --data.root SHARDS \\
      --init.weights resnet18-f37072fd.pth --init.architecture resnet18 \\
      --init.part encoder --init.at motion_encoder --init.input-channels average
    python -m train uf-tsn --stage end-to-end --data shards --data.root SHARDS
    python -m train uf-tsn --stage spatial --data shards --data.root SHARDS \\
      --init.weights resnet152-394f9c45.pth --init.skip classifier
    python -m train uf-tsn --stage all --scale toy

The first command decodes the videos once; reading them from their files at every step would keep a
GPU waiting (docs/data.md, "Shards").

| stage | section 3.2 | starts from |
|---|---|---|
| `flow` | "first train the flow estimator", lambda .2, 1 and 50 (Eq. 9) | - |
| `warm-up` | "detach the flow to warm up the classifier" | `flow` |
| `end-to-end` | "fine-tune the two-stage network end-to-end" | `warm-up` |
| `spatial` | ResNet-152 on one frame | `--init.weights` |

Expected (Table 1), for the average of the scores of `end-to-end` and `spatial`, 25 clips per video,
three splits: 92.2 % on UCF101, 64.4 % on HMDB51 (`--data hmdb51` in every stage). The paper does
not report single streams.

    python -m eval action --run RUN --protocol uf-tsn
    python -m eval fuse --scores SPATIAL_RUN TEMPORAL_RUN

Its classifiers start from ImageNet weights, the flow classifier too.

The rows of Table 2 need all three stages, each in its own folder (`--run-dir`, `--init.run`): "w/o
multi-scale", 91.2 / 62.5, `--model.options multi_scale=false`; "w/o cost-volume & multi-scale",
90.4 / 60.9, `--model.options multi_scale=false use_cost_volume=false`. For `warm-up`, repeat its
own `stop_flow_gradient=true bidirectional=false`. TV-L1 in place of the estimator (92.2 / 64.5,
fused with `spatial`), with the same classifier and solver, uses this library's TV-L1 inside the
step:

    python -m train uf-tsn --stage warm-up --data.root UCF101 --run-dir runs/tvl1 --init.run "" \\
      --model.name repflow-resnet18 \\
      --model.options composition=tvl1 flow_after=0 stacked_flows=10 \\
      --init.weights resnet18-f37072fd.pth --init.architecture resnet18 --init.at flow_stream \\
      --init.skip classifier --init.input-channels average

The rows of PWC-Net and the other estimators need their weights, which are not included.

In float32, on one GPU: 6.7 GiB for `flow`, 1.7 for `warm-up`, 6.8 for `end-to-end`. The finest
levels are decoded in groups of pairs and computed again for the gradient, with the same numbers
(`remat` and `group_pixels` in `afn_jax/nn/pwc.py`); otherwise `flow` would need 81 GiB.

Guessed, because the paper does not report them: every solver (Adam at 1e-4 with weight decay 1e-6
for the flow is ARFlow's; SGD and Adam for the rest), steps, batch sizes, crops and flips; that all
losses stay on in `end-to-end`, as in the best mode of Hidden Two-Stream. The paper's timings are
from a GeForce RTX 2070.

TOY: the same stages on `synthetic-motion`, 3 frames of 32 x 32, with a smaller estimator. Measured
on 512 test clips: endpoint error 0.50 to 0.53 px after `flow`, where zero flow has 0.82 to 0.85 px
(three seeds); 60 to 65 % top-1 after `warm-up` and 60 % after `end-to-end` (one seed), where chance
is 12.5 %. `spatial` stays at chance, because a single frame carries no information about these
classes.
"""

from dataclasses import replace

from afn_jax.data.config import DataConfig
from train.config import InitConfig, ModelConfig, ObjectiveConfig, OptimConfig, TrainConfig
from train.recipes.toy import after, toy

_DATA = DataConfig(source="ucf101", num_frames=11, size=(224, 224), short_side=256, teacher="none")

FLOW = TrainConfig(
    recipe="uf-tsn",
    stage="flow",
    scale="paper",
    steps=100_000,
    batch_size=8,
    data=_DATA,
    model=ModelConfig(name="uf-tsn-flow"),
    objective=ObjectiveConfig(flow="uf-tsn", action=False),
    optim=OptimConfig(learning_rate=1e-4, weight_decay=1e-6),
    test_every=2000,
    checkpoint_every=1000,
    test_clips=25,
    protocol="uf-tsn",
)
# The flow has no loss here, so backward flow is not needed either.
WARM_UP = replace(
    FLOW,
    stage="warm-up",
    steps=20_000,
    batch_size=32,
    model=ModelConfig(
        name="uf-tsn-temporal", options=("stop_flow_gradient=true", "bidirectional=false")
    ),
    init=after(FLOW, skip=("^motion_encoder/", "^classifier/")),
    objective=ObjectiveConfig(flow="none"),
    optim=OptimConfig(
        optimizer="sgd",
        learning_rate=1e-2,
        schedule="steps",
        boundaries=(10_000, 15_000),
        weight_decay=5e-4,
        groups=("^flow_estimator/=0", ".*=1"),
    ),
)
END_TO_END = replace(
    WARM_UP,
    stage="end-to-end",
    batch_size=8,
    model=ModelConfig(name="uf-tsn-temporal"),
    init=after(WARM_UP),
    objective=ObjectiveConfig(flow="uf-tsn"),
    optim=OptimConfig(
        learning_rate=1e-5, schedule="steps", boundaries=(15_000,), weight_decay=1e-6
    ),
)
SPATIAL = replace(
    WARM_UP,
    stage="spatial",
    data=replace(_DATA, num_frames=1),
    model=ModelConfig(name="resnet152"),
    init=InitConfig(),
    optim=replace(WARM_UP.optim, learning_rate=1e-3, groups=()),
)


# The estimator at half the size: its finest level is most of the work.
_TOY_ESTIMATOR = (
    "finest_level=1",
    "convs_per_level=2",
    "decoder_widths=[64,64,32]",
    "max_displacement=2",
)
_TOY_WEIGHTS = {"uf-tsn": ("smooth=2",), "none": ()}


def _toy(paper: TrainConfig) -> TrainConfig:
    if paper.stage == "spatial":
        return toy(paper, steps=400, frames=1, learning_rate=1e-3, width=4, dropout_rate=0.2)
    return toy(
        paper,
        steps=500,
        frames=3,
        learning_rate=2e-3,
        width=16,
        dropout_rate=0.2,
        options=_TOY_ESTIMATOR,
        # Smoothness is measured on flow in units of the smaller side: here 16 pixels, not 224.
        objective=replace(paper.objective, term_weights=_TOY_WEIGHTS[paper.objective.flow]),
    )


_ALL = (FLOW, WARM_UP, END_TO_END, SPATIAL)
STAGES = {config.stage: {"paper": config, "toy": _toy(config)} for config in _ALL}
