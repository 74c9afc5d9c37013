"""Data parallelism: the only file that uses pmap.

The state is one copy that pmap replicates (`in_axes=None`, `out_axes=None`), not a stack, so it is
saved and restored unchanged. Batches have a leading device axis.

With several processes, a step runs on the devices of all of them. Each process passes its own copy
of the state and its own share of the batch, for its own devices (`own_devices`), and gets its own
copy of the new state and of the metrics.

A step uses the axis name `AXIS` for its collectives. To replace pmap, wrap the same step in
`jax.jit(jax.shard_map(..., check_vma=False))`: with `check_vma=True` the gradients would be too
large by a factor of the number of devices.
"""

import socket
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

AXIS = "devices"


def choose_devices(
    batch_size: int, max_devices: int = 0, found: Sequence[jax.Device] | None = None
) -> list[jax.Device]:
    """Returns the devices to train on, in the order of their processes.

    Args:
        batch_size: clips per step, over all devices.
        max_devices: maximum number of devices, over all processes, each of which uses equally many;
            0: all.
        found: the devices to choose from; None: those of all processes.

    Raises:
        ValueError: the batch cannot be divided among them, or the processes do not have equally
            many devices.
    """
    devices = list(found or devices_by_process(max_devices))
    if max_devices:
        devices = devices[:max_devices]
    total, each = len(devices), len({device.process_index for device in devices})
    if batch_size % total:
        fitting = [n for n in range(each, total, each) if batch_size % n == 0]
        fewer = f", or fewer devices with --max-devices {fitting[-1]}" if fitting else ""
        raise ValueError(
            f"batch_size: got {batch_size}, which {total} devices cannot share equally. "
            f"Use a multiple of {total}, such as --batch-size {(batch_size // total + 1) * total}"
            f"{fewer}."
        )
    return devices


def devices_by_process(max_devices: int = 0) -> list[jax.Device]:
    """Returns equally many devices of each process; on TPUs, `jax.devices()` has another order.

    Args:
        max_devices: as for `choose_devices`.

    Raises:
        ValueError: the processes do not have equally many devices, or cannot use so many.
    """
    count = jax.process_count()
    own = [jax.local_devices(process_index=process) for process in range(count)]
    numbers = [len(devices) for devices in own]
    if len(set(numbers)) > 1:
        raise ValueError(
            f"devices: {', '.join(f'process {i} has {n}' for i, n in enumerate(numbers))}, but "
            f"each needs the same number; this is process {jax.process_index()} on "
            f"{socket.gethostname()}. Hide some, e.g. with CUDA_VISIBLE_DEVICES=0,1."
        )
    if count > 1 and max_devices % count:
        raise ValueError(
            f"max_devices: got {max_devices}, which {count} processes cannot share equally. Use "
            f"a multiple of {count}."
        )
    if count > 1 and max_devices:
        own = [devices[: max_devices // count] for devices in own]
    return [device for devices in own for device in devices]


def own_devices(devices: Sequence[jax.Device]) -> list[jax.Device]:
    """Returns those of the devices that belong to this process."""
    return [device for device in devices if device.process_index == jax.process_index()]


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


def any_on(devices: list[jax.Device]) -> Callable[[Any], Any]:
    """Returns a function of one flag per own device: whether any flag of any device is set."""
    return jax.pmap(
        lambda flag: jax.lax.pmax(flag, AXIS), axis_name=AXIS, out_axes=None, devices=devices
    )


def replicate(tree: Any, devices: list[jax.Device]) -> Any:
    """Copies each array of a tree to every device, as `train_step_on` and `predict_on` expect.

    Args:
        tree: arrays.
        devices: the devices of this process; see `own_devices`.
    """
    mesh = jax.sharding.Mesh(np.array(devices), (AXIS,))
    everywhere = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())
    return jax.device_put(tree, everywhere)


def split_batch(batch: Any, num_devices: int) -> Any:
    """Reshapes every array from `[batch, ...]` to `[devices, batch / devices, ...]`."""
    return jax.tree.map(lambda x: x.reshape(num_devices, -1, *x.shape[1:]), batch)


def join_batch(batch: Any) -> Any:
    """Undoes `split_batch`."""
    return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), batch)
