"""Data parallelism: the only file that says pmap.

The state is one copy that pmap replicates (`in_axes=None`, `out_axes=None`), not a stack, so it is
saved and restored as it is. Batches carry a leading device axis.

A step uses the axis name `AXIS` for its collectives. The way out of pmap is
`jax.jit(jax.shard_map(..., check_vma=False))` around the same step: with `check_vma=True` the
gradients would be too large by the number of devices.
"""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

AXIS = "devices"


def local_devices(batch_size: int, max_devices: int = 0) -> list[jax.Device]:
    """The devices to train on.

    Raises:
        ValueError: the batch cannot be divided among them, or there are several hosts, each of
            which would train by itself.
    """
    if jax.process_count() > 1:
        raise ValueError(
            f"this is process {jax.process_index()} of {jax.process_count()}, and training is on "
            "the devices of one host, all of its GPUs or TPUs. Start one process, without "
            "jax.distributed.initialize."
        )
    devices = jax.local_devices()
    if max_devices:
        devices = devices[:max_devices]
    total = len(devices)
    if batch_size % total:
        fitting = [n for n in range(len(devices), 0, -1) if batch_size % n == 0][0]
        raise ValueError(
            f"batch_size: got {batch_size}, which {total} devices cannot share equally. "
            f"Use a multiple of {total}, such as --batch-size {(batch_size // total + 1) * total}, "
            f"or fewer devices with --max-devices {fitting}."
        )
    return devices


def train_step_on(
    devices: list[jax.Device], step: Callable[[Any, Any], tuple[Any, Any]]
) -> Callable[[Any, Any], tuple[Any, Any]]:
    """`step(state, batch) -> (state, metrics)` over devices; the old state's memory is reused."""
    return jax.pmap(
        step,
        axis_name=AXIS,
        in_axes=(None, 0),
        out_axes=(None, None),
        devices=devices,
        donate_argnums=(0,),
    )


def predict_on(
    devices: list[jax.Device], predict: Callable[[Any, Any], Any]
) -> Callable[[Any, Any], Any]:
    """`predict(variables, batch) -> outputs` over devices; outputs keep the device axis."""
    return jax.pmap(predict, axis_name=AXIS, in_axes=(None, 0), out_axes=0, devices=devices)


def replicate(tree: Any, devices: list[jax.Device]) -> Any:
    """The same tree with a copy of each array on every device, for `predict_on` to find there."""
    mesh = jax.sharding.Mesh(np.array(devices), (AXIS,))
    everywhere = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())
    return jax.device_put(tree, everywhere)


def split_batch(batch: Any, num_devices: int) -> Any:
    """`[batch, ...]` -> `[devices, batch / devices, ...]` in every array."""
    return jax.tree.map(lambda x: x.reshape(num_devices, -1, *x.shape[1:]), batch)


def join_batch(batch: Any) -> Any:
    """Undoes `split_batch`."""
    return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), batch)
