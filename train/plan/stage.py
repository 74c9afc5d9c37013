"""Plans one stage: compiles it, looks for what fits, estimates its speed."""

import dataclasses
import time
from collections.abc import Callable
from typing import Any

from afn_jax.data.config import DataConfig
from train import config as config_lib
from train.config import TrainConfig
from train.plan.arguments import batch_shape, count_classes, with_batch
from train.plan.compile import Compiled, compile_step
from train.plan.device import Device
from train.plan.options import PlanOptions
from train.plan.roofline import roofline, sent
from train.plan.search import LARGEST, Line, divisors, largest_fitting, round_numbers
from train.plan.topology import device_of, memory_here, target_devices

Record = dict[str, Any]
"""One entry of plan.json under "plans"."""


def plan_stage(config: TrainConfig, options: PlanOptions, tell: Callable[[str], None]) -> Record:
    """Plans one stage.

    Args:
        config: the settings.
        options: of the plan.
        tell: receives a line before each compilation.

    Raises:
        ValueError: settings with which training would not start, or missing wheels.
    """
    config_lib.check(config)
    config = config_lib.without_unread_flow(config)
    devices = target_devices(options.target, config.batch_size, config.max_devices)
    config_lib.check_parts(config, len(devices))
    classes, classes_are = count_classes(config.data, options.classes)
    device = device_of(options.target, devices)
    memory, usable = _limits(options, device, devices)

    def compiled(batch_size: int, parts: int, count: bool = False) -> Compiled:
        what = f"batch {batch_size}" + (f" in {parts} parts per device" if parts > 1 else "")
        tell(f"compiling {what} for {len(devices)} x {devices[0].device_kind} ...")
        changed = with_batch(config, batch_size, parts)
        return compile_step(changed, classes, devices, count=count)

    record: Record = {
        "recipe": config.recipe,
        "stage": config.stage,
        "scale": config.scale,
        "network": config.model.name,
        "dtype": config.model.dtype,
        "num_classes": classes,
        "num_classes_are": classes_are,
        "num_frames": config.data.num_frames,
        "size": list(config.data.size),
        "batch_size": config.batch_size,
        "accumulate": config.optim.accumulate,
        "devices": len(devices),
        "device_kind": devices[0].device_kind,
        "memory_bytes": memory,
        "usable_bytes": usable,
    }
    asked = compiled(config.batch_size, config.optim.accumulate, count=True)
    record |= _facts(asked, usable)
    record |= _estimate(asked, device, options, config.batch_size, len(devices))
    if options.search and usable and asked.needs is not None:
        record |= _search(config, len(devices), asked.needs, usable, compiled)
    return record


def step_key(config: TrainConfig, options: PlanOptions) -> Any:
    """Returns a key that stages have in common whose steps need the same on a device.

    Such stages differ in what is read, where it starts and how long it runs.
    """
    config = config_lib.without_unread_flow(config)
    data = DataConfig(
        num_frames=config.data.num_frames,
        size=config.data.size,
        sampling=config.data.sampling,
        num_segments=config.data.num_segments,
    )
    optim = dataclasses.replace(config.optim, boundaries=())
    classes, _ = count_classes(config.data, options.classes)
    step = (config.model, config.objective, optim, config.augment, config.batch_size)
    return str((data, *step, config.max_devices, classes, batch_shape(config, 1)))


def failed(config: TrainConfig, error: str) -> Record:
    """The entry of a stage whose settings do not fit the target."""
    return {
        "recipe": config.recipe,
        "stage": config.stage,
        "scale": config.scale,
        "network": config.model.name,
        "batch_size": config.batch_size,
        "accumulate": config.optim.accumulate,
        "compiles": False,
        "error": error.splitlines()[0],
    }


def _limits(
    options: PlanOptions, device: Device | None, devices: list[Any]
) -> tuple[int | None, int | None]:
    """Memory of a device, and what JAX uses of it."""
    if options.target.device is not None:
        return options.target.device.memory_bytes, options.target.device.usable_bytes
    usable = memory_here(devices[0])
    return (device.memory_bytes if device else usable), usable


def _facts(asked: Compiled, usable: int | None) -> Record:
    fits = None if asked.needs is None or usable is None else asked.needs <= usable
    return {
        "compiles": not asked.error,
        "error": asked.error,
        "compile_seconds": round(asked.seconds, 1),
        "memory": dataclasses.asdict(asked.memory) if asked.memory else None,
        "needed_bytes": asked.needs,
        "fits": fits if not asked.error or asked.needs is not None else False,
    }


def _estimate(
    asked: Compiled, device: Device | None, options: PlanOptions, batch_size: int, count: int
) -> Record:
    record: Record = {}
    if asked.operations is not None:
        record["operations"] = {
            "products": dict(asked.operations.products),
            "others": asked.operations.others,
            "unknown_loops": asked.operations.unknown_loops,
        }
    if asked.traffic is not None:
        record["traffic"] = dataclasses.asdict(asked.traffic)
        record["traffic"]["sent"] = sent(asked.traffic, count)
    if asked.operations is not None and asked.traffic is not None and device is not None:
        hosts = options.target.hosts
        line = roofline(device, asked.operations, asked.traffic, count, hosts)
        record["estimate"] = dataclasses.asdict(line)
        record["estimate"]["clips_per_second"] = batch_size / line.total
    return record


def _search(
    config: TrainConfig,
    count: int,
    needs: float,
    usable: float,
    compiled: Callable[[int, int], Compiled],
) -> Record:
    """Finds the largest batch and the fewest parts. Sizes are examples at a time on a device."""
    parts = config.optim.accumulate
    share = config.batch_size // count
    size = share // parts
    sizes = sorted({*round_numbers(LARGEST * size), size})
    best, exact = largest_fitting(
        sizes, Line({size: needs}), lambda n: compiled(n * parts * count, parts).needs, usable
    )
    record: Record = {
        "largest_batch": None if best is None else best * parts * count,
        "largest_batch_is_exact": exact and best != sizes[-1],  # nothing larger was tried
    }
    if parts == 1 and needs <= usable:
        return record | {"fewest_parts": 1, "fewest_parts_is_exact": True}
    best, exact = largest_fitting(
        divisors(share),
        Line({size: needs}),
        lambda n: compiled(config.batch_size, share // n).needs,
        usable,
    )
    return record | {
        "fewest_parts": None if best is None else share // best,
        "fewest_parts_is_exact": exact,
    }


def now() -> str:
    """The time, for the file."""
    return time.strftime("%Y-%m-%dT%H:%M:%S%z")
