"""Finds the devices of a target. Those of another machine can only be compiled for."""

import os
from typing import Any

import jax

from train.parallel import choose_devices
from train.plan.device import Device, device_of_kind, xla_description
from train.plan.target import Target, missing_wheels


def target_devices(target: Target, batch_size: int, max_devices: int) -> list[Any]:
    """Returns the devices of a target, as training would choose them.

    Raises:
        ValueError: the wheels of the target are missing, the compiler does not know the topology,
            or the batch cannot be shared equally.
    """
    if target.device is None:
        return choose_devices(batch_size, max_devices)
    if message := missing_wheels(target):
        raise ValueError(message)
    try:
        devices = _cuda(target) if target.device.platform == "cuda" else _tpu(target)
    except Exception as error:  # XLA's and the plugins' own types
        cause = str(error).splitlines()[0]
        raise ValueError(f"--plan {target.text}: the compiler refuses it: {cause}") from None
    return choose_devices(batch_size, max_devices, devices)


def device_of(target: Target, devices: list[Any]) -> Device | None:
    """Returns the description of a target's devices; None if there is no file of them."""
    return target.device or device_of_kind(devices[0].device_kind)


def _cuda(target: Target) -> list[Any]:
    from jax.experimental import topologies

    shape = f"1x{target.hosts}x{target.per_host}"  # partitions x hosts x devices
    found = topologies.get_topology_desc(
        shape, "cuda", topology=shape, target_config=xla_description(target.device)
    )
    return list(found.devices)


def _tpu(target: Target) -> list[Any]:
    from jax.experimental import topologies

    device = target.device
    assert device is not None
    sides = (*target.shape, 1, 1)[:3]
    found = topologies.get_topology_desc(
        target.text,
        "tpu",
        chips_per_host_bounds=sides if target.hosts == 1 else device.host_bounds,
        chip_config_name=device.chip_config,
    )
    return list(found.devices)


def memory_here(device: jax.Device) -> int | None:
    """Returns the memory that JAX may use on a device of this machine; None if it does not say."""
    stats = device.memory_stats() or {}
    if "bytes_limit" in stats:
        return int(stats["bytes_limit"])
    if device.platform == "cpu" and hasattr(os, "sysconf"):
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return None
