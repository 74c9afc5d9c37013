"""Devices that `--plan` knows: one file in `device_files` for each, with published figures."""

import dataclasses
import functools
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "device_files"

# cuDNN that a program is compiled for. XLA compiles without a device from 9.8 on.
_CUDNN = "dnn_version_info { major: 9 minor: 8 patch: 0 }"


@dataclasses.dataclass(frozen=True)
class Device:
    """One kind of device. Bandwidths are in bytes per second, peaks in operations per second.

    Attributes:
        names: what it is called in a target, usual name first.
        platform: "cuda" or "tpu".
        kind: JAX's `device_kind`.
        memory_bytes: its memory.
        usable_share: share of the memory that JAX uses by default.
        memory_bandwidth: of that memory.
        peak_flops: by type of the factors of a product: "float32", "tf32" (GPUs), "bfloat16".
        link_bandwidth: what one device sends, "within_host" and "between_hosts".
        chips_per_host: TPUs: the most chips that one host has.
        host_bounds: TPUs: chips per host along x, y and z in a topology of several hosts.
        chip_config: TPUs: libtpu's name of how the cores of a chip are used.
        topologies: TPUs: shapes to suggest.
        xla: GPUs: limits, for XLA's description of the device.
    """

    names: tuple[str, ...]
    platform: str
    kind: str
    memory_bytes: int
    usable_share: float
    memory_bandwidth: float
    peak_flops: Mapping[str, float]
    link_bandwidth: Mapping[str, float]
    chips_per_host: int = 0
    host_bounds: tuple[int, ...] = ()
    chip_config: str = ""
    topologies: tuple[str, ...] = ()
    xla: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.names[0]

    @property
    def usable_bytes(self) -> int:
        """Memory that JAX uses by default: its pool on a GPU."""
        return int(self.usable_share * self.memory_bytes)


@functools.cache
def known_devices() -> tuple[Device, ...]:
    """Returns all devices, by name."""
    return tuple(read_device(path) for path in sorted(FOLDER.glob("*.toml")))


def read_device(path: Path) -> Device:
    """Reads one device file."""
    fields = tomllib.loads(path.read_text(encoding="utf-8"))
    lists = {name: tuple(value) for name, value in fields.items() if isinstance(value, list)}
    return Device(**fields | lists)


def device_of_kind(kind: str) -> Device | None:
    """Returns the device with JAX's `device_kind`; None if there is no file of it."""
    return next((device for device in known_devices() if device.kind == kind), None)


def xla_description(device: Device) -> str:
    """Returns XLA's text format of a GPU that is not there (`stream_executor.GpuTargetConfig`)."""
    limits = dict(device.xla)
    major, minor = limits.pop("compute_capability")
    limits |= {
        "memory_bandwidth": int(device.memory_bandwidth),
        "device_memory_size": device.memory_bytes,
    }
    lines = "".join(f"  {name}: {value}\n" for name, value in limits.items())
    capability = f"  cuda_compute_capability {{ major: {major} minor: {minor} }}\n"
    return (
        f"gpu_device_info {{\n{lines}{capability}}}\n"
        f'platform_name: "CUDA"\n{_CUDNN}\ndevice_description_str: "{device.kind}"\n'
    )
