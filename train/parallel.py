"""Data parallelism: the only file that uses pmap.

The state is one copy that pmap replicates (`in_axes=None`, `out_axes=None`), not a stack, so it is
saved and restored unchanged. Batches have a leading device axis.

A step uses the axis name `AXIS` for its collectives. To replace pmap, wrap the same step in
`jax.jit(jax.shard_map(..., check_vma=False))`: with `check_vma=True` the gradients would be too
large by a factor of the number of devices.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

AXIS = "devices"


def local_devices(
    batch_size: int, max_devices: int = 0, found: Sequence[jax.Device] | None = None
) -> list[jax.Device]:
    """Returns the devices to train on.

    Args:
        batch_size: clips per step, over all devices.
        max_devices: maximum number of devices; 0: all.
        found: the devices to choose from; None: those of this host.

    Raises:
        ValueError: the batch cannot be divided among them, or there are several hosts, which would
            each train on their own.
    """
    if found is None and jax.process_count() > 1:
        raise ValueError(
            f"this is process {jax.process_index()} of {jax.process_count()}, but training "
            "uses the devices of one host only, all its GPUs or TPUs. Start one process, without "
            "jax.distributed.initialize."
        )
    devices = list(jax.local_devices() if found is None else found)
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
    """Runs `step(state, batch) -> (state, metrics)` over devices; reuses the old state's memory.

    Pass the first state through `replicate`: a state on one device or on the host has a different
    sharding from the states that the step returns, so the second step would be compiled again.
    """
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
    """Runs `predict(variables, batch) -> outputs` over devices; outputs keep the device axis."""
    return jax.pmap(predict, axis_name=AXIS, in_axes=(None, 0), out_axes=0, devices=devices)


def replicate(tree: Any, devices: list[jax.Device]) -> Any:
    """Copies each array of a tree to every device, as `train_step_on` and `predict_on` expect."""
    mesh = jax.sharding.Mesh(np.array(devices), (AXIS,))
    everywhere = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())
    return jax.device_put(tree, everywhere)


def split_batch(batch: Any, num_devices: int) -> Any:
    """Reshapes every array from `[batch, ...]` to `[devices, batch / devices, ...]`."""
    return jax.tree.map(lambda x: x.reshape(num_devices, -1, *x.shape[1:]), batch)


def join_batch(batch: Any) -> Any:
    """Undoes `split_batch`."""
    return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), batch)
