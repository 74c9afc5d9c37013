"""Targets of `--plan`: `h100`, `h100:8`, `2x8xh100`, `v5e:2x4` or `here`. Does not import JAX."""

import dataclasses
import importlib.util
import math
import os
import re

from afn_jax.near_names import did_you_mean
from train.plan.device import Device, known_devices

HERE = "here"
FORMS = "h100, h100:8 (one host with eight), 2x8xh100 (two hosts of eight), v5e:2x4, or here"

# What makes libtpu look for a TPU, or for the service that says which one, is answered here.
_TPU_ENVIRONMENT = {
    "TPU_SKIP_MDS_QUERY": "1",
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",  # there is no TPU to be shared: no lock is needed
    "TPU_ACCELERATOR_TYPE": "v5litepod-8",
    "TPU_WORKER_HOSTNAMES": "localhost",
    "TPU_STDERR_LOG_LEVEL": "3",
    "TPU_MIN_LOG_LEVEL": "3",
}


@dataclasses.dataclass(frozen=True)
class Target:
    """The devices to plan for.

    Attributes:
        text: as it was given, in lower case.
        device: what each one is; None: the devices of this machine.
        hosts: number of hosts.
        per_host: devices per host.
        shape: TPUs: chips along each axis.
    """

    text: str
    device: Device | None
    hosts: int = 1
    per_host: int = 1
    shape: tuple[int, ...] = ()

    @property
    def num_devices(self) -> int:
        return self.hosts * self.per_host


def parse_target(text: str) -> Target:
    """Parses a target.

    Raises:
        ValueError: no such device, or a number or shape that cannot be.
    """
    lowered = text.strip().lower()
    if lowered == HERE:
        return Target(HERE, None)
    several = re.fullmatch(r"(\d+)x(\d+)x(.+)", lowered)
    name, colon, count = (several[3] if several else lowered).partition(":")
    device = _find(text, name)
    if device.platform == "tpu":
        if several:
            raise ValueError(f"--plan: got {text!r}, but {_shapes(device)}.")
        return _tpu(text, device, count)
    if several:
        hosts, per_host = int(several[1]), int(several[2])
    else:
        hosts, per_host = 1, int(count) if count.isdecimal() else int(not colon)
    if (several and colon) or min(hosts, per_host) < 1:
        raise ValueError(
            f"--plan: got {text!r}. Write {name} for one GPU, {name}:8 for a host with eight, "
            f"2x8x{name} for two hosts of eight."
        )
    return Target(lowered, device, hosts, per_host)


def _find(text: str, name: str) -> Device:
    by_name = {name: device for device in known_devices() for name in device.names}
    if name not in by_name:
        # "8xh100" is a usual way to write it elsewhere.
        number = re.fullmatch(r"(\d+)x(.+)", name)
        if number and number[2] in by_name:
            raise ValueError(
                f"--plan: got {text!r}. Write {number[2]}:{number[1]} for one host with "
                f"{number[1]}, or {number[1]}x1x{number[2]} for {number[1]} hosts of one."
            )
        hint = did_you_mean(name, [*by_name, HERE])
        raise ValueError(
            f"--plan: got {text!r}, an unknown device. {hint}\n"
            f"Devices: {', '.join(by_name)}. Targets: {FORMS}."
        )
    return by_name[name]


def _tpu(text: str, device: Device, shape: str) -> Target:
    if not re.fullmatch(r"[1-9]\d*(x[1-9]\d*)*", shape):
        raise ValueError(f"--plan: got {text!r}, but {_shapes(device)}.")
    sides = tuple(int(side) for side in shape.split("x"))
    if len(sides) != device.topologies[0].count("x") + 1:
        raise ValueError(f"--plan: got {text!r}, but {_shapes(device)}.")
    chips = math.prod(sides)
    per_host = chips if chips <= device.chips_per_host else math.prod(device.host_bounds)
    if chips % per_host:
        raise ValueError(
            f"--plan: got {text!r}, {chips} chips, but hosts have {per_host}; {_shapes(device)}."
        )
    return Target(f"{device.name}:{shape}", device, chips // per_host, per_host, sides)


def _shapes(device: Device) -> str:
    several = ", ".join(f"{device.name}:{shape}" for shape in device.topologies)
    return f"a TPU is named with its topology, such as {several}"


def leave_devices_alone(target: Target) -> None:
    """Keeps JAX from claiming a device of this machine; call it before JAX is imported.

    A login node may have a GPU that others use, and a plan of another device needs none.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if target.device is None:
        return
    os.environ["JAX_PLATFORMS"] = "cpu"
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    if target.device.platform == "tpu":
        for name, value in _TPU_ENVIRONMENT.items():
            os.environ.setdefault(name, value)


def missing_wheels(target: Target) -> str:
    """Returns what to install before a target can be planned, in one line; "" if all is there."""
    platform = target.device.platform if target.device else ""
    if platform == "cuda":
        if any(map(importlib.util.find_spec, ("jax_cuda12_plugin", "jax_cuda13_plugin"))):
            return ""
        extras = "pip install -e '.[train,cuda12]' (or cuda13)"
    elif platform == "tpu":
        if importlib.util.find_spec("libtpu"):
            return ""
        extras = "pip install -e '.[train,tpu]'"
    else:
        return ""
    return (
        f"--plan {target.text}: the compiler for it is not installed: {extras}. "
        "The machine needs no such device."
    )
