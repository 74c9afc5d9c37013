"""Describes the machine and the versions that results are measured with."""

import os
import platform
import subprocess

import jax
import jaxlib

from benchmarks.huge_pages import asked_for_huge_pages


def describe_machine() -> dict[str, str | int]:
    """Returns the device, its driver, the processor and the versions, as far as they are known."""
    device = jax.devices()[0]
    found = {
        "platform": device.platform,
        "device": device.device_kind if device.platform != "cpu" else _processor(),
        "runtime": device.client.platform_version.splitlines()[-1],
        "cores": os.cpu_count() or 0,
        "huge_pages": asked_for_huge_pages(),
        "python": platform.python_version(),
        "jax": jax.__version__,
        "jaxlib": jaxlib.__version__,
    }
    return found | _nvidia()


def one_line(machine: dict[str, str | int]) -> str:
    """Returns the description as the text after "Measured on"."""
    cores = f"{machine['cores']} CPU cores"
    if machine["platform"] == "cpu":
        parts = [f"{cores} ({machine['device']})", "huge pages" if machine["huge_pages"] else ""]
    else:
        driver = f"driver {machine['driver']}" if "driver" in machine else ""
        parts = [machine.get("card", machine["device"]), driver, machine["runtime"], cores]
    parts += [f"Python {machine['python']}", f"JAX {machine['jax']}"]
    return ", ".join(part for part in parts if part)


def _nvidia() -> dict[str, str]:
    """Returns the card and the driver as nvidia-smi names them; empty without it."""
    query = ["nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(query, capture_output=True, text=True, timeout=20, check=True)
        name, memory, driver = done.stdout.splitlines()[0].split(", ")
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        return {}
    return {"card": f"{name} ({memory})", "driver": driver}


def _processor() -> str:
    """Returns the processor's name, or its architecture if the system does not tell the name."""
    try:
        with open("/proc/cpuinfo") as file:
            return next(line.split(": ")[1].strip() for line in file if "model name" in line)
    except (OSError, StopIteration, IndexError):
        return platform.machine()
