"""Representation Flow (Piergiovanni, Ryoo 2018): optical flow as a layer, learned with the action.

    python -m afn_jax.data.prepare SHARDS --data kinetics --data.root MINI_KINETICS \\
      --data.short-side 128
    python -m train representation-flow --stage mini-kinetics --data shards --data.root SHARDS
    python -m train representation-flow --stage all --scale toy

The first command decodes the videos once; reading them from their files at every step would keep a
GPU waiting (docs/data.md, "Shards").

| stage | table | network | expected | starts from |
|---|---|---|---|---|
| `mini-kinetics` | 1 to 5 | ResNet-34, 16 x 112 x 112 | 60.7 | - |
| `mini-kinetics-3d` | 6 | 3D ResNet-18, the same | 59.7 | `--init.weights`, below |
| `mini-kinetics-2plus1d` | 7 | (2+1)D ResNet-18, the same | 60.7 | - |
| `lowres-hmdb51` | 1 and 2, LowRes-HMDB51 | as `mini-kinetics` | 46.8 | - |
| `kinetics` | 9 | ResNet-50, 32 x 224 x 224 | 67.3 | - |
| `hmdb51` | 9, HMDB(+Kin) | the same | 75.3 | `kinetics` |
| `hmdb51-scratch` | 9, HMDB | the same | 73.4 | `--init.weights`, below |
| `kinetics-2plus1d`, `hmdb51-2plus1d` | 9, (2+1)D | (2+1)D ResNet-50 | 74.8; 76.4 | -; the former |

The rows of the tables are overrides, `--model.options FIELD=VALUE ...`; the docstring of
`afn_jax/models/representation_flow.py` explains the fields:

| table | overrides of `mini-kinetics` and top-1 in % |
|---|---|
| 1 | `composition=none` 55.2; `composition=tvl1 flow_after=0 stacked_flows=10` 35.4, and with \
`fusion=late` 57.6; `learned=[] flow_after=0` 37.4, 1 52.4, 2 57.4, 3 59.4, 4 52.1, 5 50.3 |
| 2 | `learned=[]` 59.4; `learned=[image_gradient,flow_gradient]` 58.5; \
`learned=[divergence]` 60.2; `learned=[tau,lam,theta]` 59.9; all of these 59.2; without overrides \
60.7 |
| 3 | `num_iterations=1` 49.5, 5 55.4, 10 59.4, 20 60.7, 50 60.9; with `learned=[]` 46.7, 51.3, \
52.4, 53.6, 59.2 |
| 4 | with `learned=[]`, at `flow_after=0`, 1, 3: `fusion=none` 37.4, 52.4, 59.4; `late` 61.3, \
60.4, 61.5; `add` 59.7, 57.2, 56.5; `multiply` 58.3, 58.1, 57.8; `late+multiply` 60.1, 61.7, 61.7; \
`concat` 42.4, 48.5, 47.6 |
| 5 | with `learned=[]`: `composition=flow` 59.4; `flow-of-flow` 47.2; `flow-conv-flow` 62.3; \
`flow-conv-flow-conv-flow` 56.5; and `composition=tvl1-of-tvl1 flow_after=0` 12.2 |
| 6 | `mini-kinetics-3d`: `composition=none` 54.6; `composition=tvl1 flow_after=0 \
stacked_flows=1` 37.6, and with `fusion=late` 57.5; `flow_after=0` 38.5, 1 58.4, 3 59.7 |
| 7 | `mini-kinetics-2plus1d`, the same: 53.4; 36.3; 55.6; 39.2, 57.3, 60.7 |
| 8 | `mini-kinetics` with `--data.size 224 224 --data.short-side 256` 61.1; `lowres-hmdb51` with \
the same 65.4 (which networks they were is guessed) |
| 9 | `kinetics`: `composition=flow-conv-flow remat_stages=2` 68.1 |

The paper contradicts itself: the fixed layer after block 3 has 59.4 in Table 2 but 53.6 (with 20
iterations) in Table 3, where 59.4 is the learned layer with 10 iterations. Tables 1, 4 and 5 have
59.4 too; it is guessed that this is the fixed layer.

SGD with momentum 0.9 (appendix A). Kinetics: rate 0.1, divided by 10 every 50 of 200 epochs,
dropout 0.5. HMDB51: rate 0.005, divided by 10 every 20 of 50 epochs, dropout 0.8. Batch size 32 on
4 Titan X for 2D, 24 on 8 V100 for the others; Table 9 on 8 V100. The parameters of the flow layer
learn at 0.01 of the rate. The 3D network starts from inflated ImageNet weights (section 4), the
network of `hmdb51-scratch` from ImageNet weights without inflation:

    python -m train representation-flow --stage mini-kinetics-3d --data.root MINI_KINETICS \\
      --init.weights resnet18-f37072fd.pth --init.architecture resnet18 --init.at flow_stream \\
      --init.inflate --init.skip classifier
    python -m train representation-flow --stage hmdb51-scratch --data.root HMDB51 \\
      --init.weights resnet50-0676ba61.pth --init.architecture resnet50 --init.at flow_stream \\
      --init.skip classifier

With `composition=none` the network is at `rgb_stream` instead, and `composition=tvl1`, whose input
is flow, also needs `--init.input-channels average`. With late fusion, weights can be loaded into
only one of the two networks: train two runs, as the paper does, and fuse them with `python -m eval
fuse`. The test of section 3.3 uses every frame of a video:

    python -m eval action --run RUN --protocol representation-flow

`kinetics`, `hmdb51` and `hmdb51-scratch` compute the blocks of the first two residual stages again
for the gradient (`remat_stages=2`), which changes no numbers: 32 clips then need 46 GiB instead of
more than 60. Repeat the option with other overrides. With several devices, which share the batch,
`remat_stages=0` is faster. `--optim.accumulate` would also save memory, but batch norm would use
the statistics of each part instead of the whole batch.

Mini-Kinetics has the authors' 150 classes: `--data.classes FILE`, one per line. Guessed, because
the paper does not report them: every second frame and weight decay 1e-6 (both from the authors'
code), crops, flips, clips per video in the test; that `hmdb51-scratch` has the schedule of HMDB51
with the initial rate of Kinetics; that LowRes-HMDB51 has the epochs of Kinetics; that the (2+1)D
networks start from random parameters (their kernels are split, so ImageNet weights do not fit).
Epochs are converted to steps with 86,365 (Mini-Kinetics), 240,000 (Kinetics) and 3,570 (HMDB51)
training videos.

TOY: ResNet-18 or -50 on `synthetic-motion`, 6 frames of 32 x 32, with Adam; at a hundredth of its
rate the flow layer's parameters hardly change. Measured: 40 to 48 % top-1 on 512 test clips after
`mini-kinetics` (three seeds), where chance is 12.5 %.
"""

from dataclasses import replace

from afn_jax.data.config import DataConfig
from train.config import ModelConfig, ObjectiveConfig, OptimConfig, TrainConfig
from train.recipes.toy import after, toy

_VIDEOS = {"mini-kinetics": 86_365, "kinetics": 240_000, "hmdb51": 3570}
FLOW_GROUPS = (r"^flow_layer/flow(_\d)?/=0.01", ".*=1")


def _epochs(videos: str, batch_size: int, rate: float, every: int, epochs: int) -> dict:
    """Fields of a run whose rate is divided by 10 every `every` epochs."""
    steps = _VIDEOS[videos] // batch_size
    optim = OptimConfig(
        optimizer="sgd",
        learning_rate=rate,
        schedule="steps",
        boundaries=tuple(steps * epoch for epoch in range(every, epochs, every)),
        weight_decay=1e-6,
        groups=FLOW_GROUPS,
    )
    return {"steps": steps * epochs, "batch_size": batch_size, "optim": optim}


_SMALL = DataConfig(
    source="kinetics",
    num_frames=16,
    stride=2,
    size=(112, 112),
    short_side=128,
    teacher="none",
)
_LARGE = replace(_SMALL, num_frames=32, size=(224, 224), short_side=256)
_NEW_CLASSES = ("classifier/",)

MINI_KINETICS = TrainConfig(
    recipe="representation-flow",
    stage="mini-kinetics",
    scale="paper",
    data=_SMALL,
    model=ModelConfig(name="repflow-resnet34", dropout_rate=0.5),
    objective=ObjectiveConfig(flow="none"),
    test_every=2000,
    checkpoint_every=1000,
    test_clips=10,
    protocol="representation-flow",
    **_epochs("mini-kinetics", 32, 0.1, 50, 200),
)
MINI_KINETICS_3D = replace(
    MINI_KINETICS,
    stage="mini-kinetics-3d",
    model=replace(MINI_KINETICS.model, name="repflow-r3d18"),
    **_epochs("mini-kinetics", 24, 0.1, 50, 200),
)
MINI_KINETICS_2PLUS1D = replace(
    MINI_KINETICS_3D,
    stage="mini-kinetics-2plus1d",
    model=replace(MINI_KINETICS.model, name="repflow-r2plus1d18"),
)
LOWRES_HMDB51 = replace(
    MINI_KINETICS,
    stage="lowres-hmdb51",
    data=replace(_SMALL, source="hmdb51"),
    model=replace(MINI_KINETICS.model, dropout_rate=0.8),
    **_epochs("hmdb51", 32, 0.1, 50, 200),
)
KINETICS = replace(
    MINI_KINETICS,
    stage="kinetics",
    data=_LARGE,
    model=ModelConfig(name="repflow-resnet50", dropout_rate=0.5, options=("remat_stages=2",)),
    **_epochs("kinetics", 32, 0.1, 50, 200),
)
HMDB51 = replace(
    KINETICS,
    stage="hmdb51",
    data=replace(_LARGE, source="hmdb51"),
    model=replace(KINETICS.model, dropout_rate=0.8),
    init=after(KINETICS, skip=_NEW_CLASSES),
    **_epochs("hmdb51", 32, 0.005, 20, 50),
)
HMDB51_SCRATCH = replace(
    HMDB51,
    stage="hmdb51-scratch",
    init=MINI_KINETICS.init,
    **_epochs("hmdb51", 32, 0.1, 20, 50),
)
KINETICS_2PLUS1D = replace(
    KINETICS,
    stage="kinetics-2plus1d",
    model=ModelConfig(name="repflow-r2plus1d50", dropout_rate=0.5),
    **_epochs("kinetics", 24, 0.1, 50, 200),
)
HMDB51_2PLUS1D = replace(
    HMDB51,
    stage="hmdb51-2plus1d",
    model=replace(KINETICS_2PLUS1D.model, dropout_rate=0.8),
    init=after(KINETICS_2PLUS1D, skip=_NEW_CLASSES),
    **_epochs("hmdb51", 24, 0.005, 20, 50),
)


def _toy(paper: TrainConfig) -> TrainConfig:
    name = paper.model.name
    in_time = "r3d" in name or "plus1d" in name  # these halve the number of frames
    options = ("channels=8", "num_iterations=10")
    if paper.model.options:
        options += ("remat_stages=0",)
    if name in ("repflow-r3d18", "repflow-r2plus1d18"):
        options += ("flow_after=1",)  # after block 3 only two maps of 4 x 4 would be left
    config = toy(
        paper,
        steps=400,
        frames=8 if in_time else 6,
        learning_rate=2e-3,
        width=8,
        dropout_rate=0.2,
        options=options,
    )
    if name == "repflow-resnet34":
        config = replace(config, model=replace(config.model, name="repflow-resnet18"))
    return config


_ALL = (
    MINI_KINETICS,
    MINI_KINETICS_3D,
    MINI_KINETICS_2PLUS1D,
    LOWRES_HMDB51,
    KINETICS,
    HMDB51,
    HMDB51_SCRATCH,
    KINETICS_2PLUS1D,
    HMDB51_2PLUS1D,
)
STAGES = {config.stage: {"paper": config, "toy": _toy(config)} for config in _ALL}
