"""What the toy scales share: small clips of `synthetic-motion`, minutes on 2 CPU cores."""

from dataclasses import replace

from afn_jax.data.config import DataConfig
from train.config import AugmentConfig, InitConfig, OptimConfig, TrainConfig, default_run_dir

AUGMENT = AugmentConfig(brightness=0.2, contrast=0.2, saturation=0.2)


def toy_data(num_frames: int) -> DataConfig:
    """Clips of 32 x 32 with true flow."""
    return DataConfig(
        source="synthetic-motion",
        num_frames=num_frames,
        size=(32, 32),
        short_side=40,
        crop_scales=(1.0,),
        flip=False,
        teacher="none",
        test_videos=512,
        num_threads=1,  # rendering holds the GIL: a second thread would only slow it down
    )


def toy(
    paper: TrainConfig,
    *,
    steps: int,
    frames: int,
    learning_rate: float,
    warmup_steps: int | None = None,
    **changes,
) -> TrainConfig:
    """Makes the toy scale of a stage: its network and objective, with changes.

    Args:
        paper: the stage at the paper's scale.
        steps: number of training steps.
        frames: frames per clip.
        learning_rate: peak learning rate of Adam with a cosine schedule.
        warmup_steps: None: a twentieth of the steps.
        changes: fields of the run; also `width`, `dropout_rate`, `flow_stride`, `groups`, and
            `options`, which are added to those of the paper.
    """
    fields = ("width", "dropout_rate", "flow_stride")
    model = {name: changes.pop(name) for name in fields if name in changes}
    options = (*paper.model.options, *changes.pop("options", ()))
    groups = changes.pop("groups", paper.optim.groups)
    optim = OptimConfig(
        learning_rate=learning_rate,
        schedule="cosine",
        warmup_steps=steps // 20 if warmup_steps is None else warmup_steps,
        groups=groups,
    )
    config = replace(
        paper,
        scale="toy",
        steps=steps,
        batch_size=16,
        data=toy_data(frames),
        model=replace(paper.model, options=options, **model),
        init=_toy_init(paper.init),
        optim=optim,
        augment=AUGMENT,
        test_every=max(steps // 4, 1),
        checkpoint_every=500,
        test_clips=1,
        protocol="clips",
    )
    return replace(config, **changes)


def _toy_init(init: InitConfig) -> InitConfig:
    return replace(init, run=init.run.removesuffix("-paper") + "-toy") if init.run else init


def after(config: TrainConfig, *, at: str = "", skip: tuple[str, ...] = ()) -> InitConfig:
    """Starts from the run of an earlier stage, of the same scale and in its usual folder."""
    return InitConfig(run=default_run_dir(config), run_at=at, run_skip=skip)
