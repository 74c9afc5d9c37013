"""Odabasi 2018 (workshop): unsupervised flow and the action from grayscale triplets, jointly.

    python -m afn_jax.data.prepare SHARDS --data ucf101 --data.root UCF101 --data.short-side 64
    python -m train odabasi --data shards --data.root SHARDS
    python -m train odabasi --scale toy

The first command decodes the videos once; reading them from their files at every step would keep a
GPU waiting (docs/data.md, "Shards").

A negative result: about 90 % on the training set but at most 27 % on the validation set (Figure 3)
of a dataset that the paper does not name; UCF101 here. Joint loss (Eq. 3), Adam as in PyTorch,
frames of 56 x 56, batch size 256 on two GTX 1080 Ti, color jitter, and noise on normalized frames,
which the network adds (`--model.options noise_std=0.1`).

256 clips need 29 GiB on a GPU, because the flow network only stores the outputs of its convolutions
for the gradient. `--model.options remat=false` stores everything, with the same numbers: 59 GiB.

Guessed, because the paper does not report them: the dataset, 48 frames per clip, the weights and
the other constants of the loss (see `afn_jax/losses/jointflow3d.py`), the learning rate (PyTorch's
default), steps, the strength of jitter and noise, crops and flips. With the weights 20 for the
photometric and 0.4 for the smoothness loss, the toy scale learns flow; with 1 and 1 its flow was
smoothed away. The paper's total loss ends "around 40" on both sets, at 90 % and 27 %, so most of it
must come from the flow; our losses, which are means over pixels, are not comparable. Saturation
jitter has almost no effect on grayscale frames.

TOY: 6 frames of 32 x 32 of `synthetic-motion`, so two flows, with a wider flow network, less noise
and clipped gradients: otherwise the flow stays at zero. Measured on test clips: 66 % top-1, where
chance is 12.5 %, and an endpoint error of 0.63 px, where zero flow has 0.80 px.
"""

from dataclasses import replace

from afn_jax.data.config import DataConfig
from train.config import AugmentConfig, ModelConfig, ObjectiveConfig, OptimConfig, TrainConfig
from train.recipes.toy import toy

PAPER = TrainConfig(
    recipe="odabasi",
    scale="paper",
    steps=10_000,
    batch_size=256,
    data=DataConfig(source="ucf101", num_frames=48, size=(56, 56), short_side=64, teacher="none"),
    model=ModelConfig(name="jointflow3d"),
    objective=ObjectiveConfig(flow="jointflow3d", flow_weight=20.0, term_weights=("smooth=0.02",)),
    optim=OptimConfig(learning_rate=1e-3),
    augment=AugmentConfig(brightness=0.4, contrast=0.4, saturation=0.4),
    test_every=500,
    checkpoint_every=250,
    test_clips=1,
)

_TOY = toy(
    PAPER,
    steps=500,
    frames=6,
    learning_rate=2e-3,
    width=16,
    options=("noise_std=0.02", "flow_widths=[64,64,128,128]"),
)
# The penalty is steep at small residuals: the first gradients are a hundred times as large as later
# ones. Adam remembers them for a thousand steps and would hardly move the flow network.
TOY = replace(_TOY, optim=replace(_TOY.optim, clip_norm=10.0))

STAGES = {"": {"paper": PAPER, "toy": TOY}}
