"""ActionFlowNet, joint flow and action (Ng et al. 2018, section 3.2, Table 1).

    python -m train actionflownet --data video-folder --data.root UCF101_FOLDER
    python -m train actionflownet --scale toy

PAPER: 16 x 224 x 224, width 64, Adam 3e-4, 80,000 steps, dropout .5, colour jitter, multi-scale
crops and flips (sections 3.2 and 4.2). Expected on UCF101 split 1: 83.9 % (Table 1), there with
EpicFlow as the flow target and a flow network trained before. For a GPU. Guessed, because the paper
does not say: batch size, lambda, strength of the colour jitter, scales of the crop; the flow target
is OpenCV's DIS instead of EpicFlow.

TOY: the same objective on `synthetic_motion`, 8 x 32 x 32, width 12. On 2 CPU cores under 10
minutes; the README says what it reaches.
"""

from afn_jax.data.config import DataConfig
from train.config import AugmentConfig, ModelConfig, ObjectiveConfig, OptimConfig, TrainConfig

PAPER = TrainConfig(
    recipe="actionflownet",
    scale="paper",
    steps=80_000,
    batch_size=16,  # guessed
    data=DataConfig(source="video-folder", num_frames=16, size=(224, 224), short_side=256),
    model=ModelConfig(name="actionflownet", width=64, flow_stride=4, dropout_rate=0.5),
    objective=ObjectiveConfig(kind="joint", flow_weight=1.0),
    optim=OptimConfig(learning_rate=3e-4),
    augment=AugmentConfig(brightness=0.4, contrast=0.4, saturation=0.4),
    test_every=2000,
    checkpoint_every=1000,
    test_clips=25,
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
        num_threads=1,  # rendering holds Python's lock: a second thread would only be in the way
    ),
    model=ModelConfig(name="actionflownet", width=12, flow_stride=2, dropout_rate=0.5),
    objective=ObjectiveConfig(kind="joint", flow_weight=3.0),
    optim=OptimConfig(learning_rate=2e-3, schedule="cosine", warmup_steps=100),
    augment=AugmentConfig(brightness=0.2, contrast=0.2, saturation=0.2),
    test_every=500,
    checkpoint_every=500,
)
