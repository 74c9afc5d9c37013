"""The shortest time that a step can take on a device, by its published peaks: an estimate."""

import dataclasses

from train.plan.device import Device
from train.plan.flops import Operations
from train.plan.hlo import Traffic

ASSUMPTIONS = (
    "products and convolutions run at the published peak of their type (float32 factors: TF32 on a "
    "GPU, one pass of bfloat16 on a TPU, unless the program asks for the highest precision)",
    "every kernel reads its operands from memory and writes its result at the published bandwidth",
    "products, other arithmetic and memory overlap fully, the exchange between devices not at all",
    "in an all-reduce of B bytes over n devices, each sends 2 (n - 1) / n B over the slowest link",
    "no time to launch kernels or to wait for the host",
)


@dataclasses.dataclass(frozen=True)
class Roofline:
    """Seconds of one step.

    Attributes:
        products: of matrix products and convolutions.
        others: of other arithmetic.
        memory: of reading and writing memory.
        exchange: of the exchange between devices.
        total: max(products, others, memory) + exchange.
        bound: which of the three is the longest.
    """

    products: float
    others: float
    memory: float
    exchange: float
    total: float
    bound: str


def roofline(
    device: Device, operations: Operations, traffic: Traffic, num_devices: int, hosts: int
) -> Roofline:
    """Estimates the time of a step from below."""
    products = sum(n / _peak(device, kind) for kind, n in operations.products.items())
    others = operations.others / device.peak_flops["float32"]
    memory = traffic.memory / device.memory_bandwidth
    exchange = sent(traffic, num_devices) / _link(device, hosts)
    parts = {"products": products, "other arithmetic": others, "memory": memory}
    bound = max(parts, key=parts.__getitem__)
    return Roofline(products, others, memory, exchange, parts[bound] + exchange, bound)


def sent(traffic: Traffic, num_devices: int) -> float:
    """Bytes that one device sends per step, if all collectives are rings."""
    return 2 * (num_devices - 1) / num_devices * traffic.exchanged


def _link(device: Device, hosts: int) -> float:
    return device.link_bandwidth["within_host" if hosts == 1 else "between_hosts"]


def _peak(device: Device, kind: str) -> float:
    if kind == "float32":  # XLA shortens the factors by default
        return device.peak_flops.get("tf32", device.peak_flops["bfloat16"])
    if kind in ("bfloat16", "float16"):
        return device.peak_flops["bfloat16"]
    return device.peak_flops["float32"]
