"""Argument checks shared by several operators and networks."""

import jax.numpy as jnp

from afn_jax.types import Array


def check_float(**arrays: Array) -> None:
    """Raises ValueError unless all arrays are float: integers wrap around and have no gradient."""
    for name, array in arrays.items():
        if not jnp.issubdtype(array.dtype, jnp.floating):
            raise ValueError(
                f"{name} has dtype {array.dtype}; it must be float: convert an image with "
                f"{name} / 255.0, anything else with {name}.astype(jnp.float32)"
            )


def check_num_frames(frames: Array, num_frames: int | None = None, *, least: int = 1) -> None:
    """Raises ValueError for clips `[batch, time, ...]` of another length than a network needs.

    Args:
        frames: the clips.
        num_frames: the length that the network was made for; None: any length.
        least: the smallest number of frames that it can use.
    """
    got = frames.shape[1]
    wanted = got if num_frames is None else num_frames
    if wanted < least:
        raise ValueError(
            f"num_frames: got {wanted}, but this model needs {least} or more frames per clip. "
            "Increase num_frames."
        )
    if got != wanted:
        raise ValueError(
            f"frames: got {got} frames per clip, but the model was made for "
            f"num_frames={wanted}. Sample clips of that length, or change the model."
        )
