"""Stages of recipes, made narrow."""

import dataclasses

from train.config import TrainConfig

SMALLER = {  # options that shorten compilation
    "repflow": ("num_iterations=2", "channels=2"),
    "uf": ("convs_per_level=1", "decoder_widths=[64]", "pyramid_widths=[64,64]"),
    "motionnet": ("encoder=tiny",),
    "hidden": ("encoder=tiny",),
    "jointflow3d": ("flow_widths=[32,32]",),
}


def narrowed(config: TrainConfig, steps: int) -> TrainConfig:
    family = config.model.name.split("-")[0]
    options = SMALLER.get(family, ())
    data = dataclasses.replace(config.data, train_videos=64, test_videos=8, prefetch=1)
    model = dataclasses.replace(config.model, width=2, options=(*config.model.options, *options))
    return dataclasses.replace(
        config,
        steps=steps,
        batch_size=4,
        data=data,
        model=model,
        optim=dataclasses.replace(config.optim, schedule="constant", warmup_steps=0),
        log_every=1,
        test_every=0,
        checkpoint_every=10,
        max_devices=1,
        compilation_cache="",
    )
