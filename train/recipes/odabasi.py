"""Odabasi 2018 (workshop): flow without labels and the action, of grey triplets, at once.

    python -m train odabasi --data.root UCF101
    python -m train odabasi --scale toy

A negative result: about 90 % on the training set and up to 27 % on the validation set (Figure 3),
of a dataset that the paper does not name; UCF101 here. Joint loss (Eq. 3), Adam as PyTorch has it,
frames of 56 x 56, batches of 256 on two GTX 1080 Ti, colour jitter, and noise on normalised
frames, which is the network's (`--model.options noise_std=0.1`).

Guessed, because the paper does not say: the dataset, 48 frames a clip, the weights of the losses
and the other constants of the loss (see `afn_jax/losses/jointflow3d.py`), learning rate (PyTorch's
default), steps, strength of jitter and noise, crops and flips.

TOY: 12 frames of 32 x 32 of `synthetic_motion`, so four flows; minutes on 2 CPU cores.
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
    objective=ObjectiveConfig(kind="jointflow3d-joint"),
    optim=OptimConfig(learning_rate=1e-3),
    augment=AugmentConfig(brightness=0.4, contrast=0.4, saturation=0.4),
    test_every=500,
    checkpoint_every=250,
    test_clips=1,
)

# At the guessed weights of the paper's scale the toy's flow is smoothed away.
TOY = toy(
    PAPER,
    steps=600,
    frames=12,
    learning_rate=2e-3,
    width=16,
    objective=replace(PAPER.objective, flow_weight=20.0, term_weights=("smooth=0.02",)),
)

STAGES = {"": {"paper": PAPER, "toy": TOY}}
