"""A plan as text: a paragraph per stage, and a table of several stages."""

from collections.abc import Sequence
from typing import Any

from train.plan.roofline import ASSUMPTIONS

GIB = 2**30


def describe(record: dict[str, Any]) -> str:
    """Returns the paragraph of one stage."""
    stage = f" --stage {record['stage']}" if record["stage"] else ""
    scale = f" --scale {record['scale']}" if record["scale"] != "paper" else ""
    parts = f" in {record['accumulate']} parts" if record["accumulate"] > 1 else ""
    lines = [f"{record['recipe']}{stage}{scale}, batch {record['batch_size']}{parts}"]
    if "devices" in record:
        lines[0] += (
            f", {record['dtype']}, on {record['devices']} x {record['device_kind']}; "
            f"{record['num_classes']} classes ({record['num_classes_are']})"
        )
    rows = [("compiles", _compiles(record))]
    rows += _memory(record) + _search(record) + _work(record) + _speed(record)
    return "\n".join([*lines, *(f"  {name:<14}{text}" for name, text in rows)])


def assumptions() -> str:
    """Returns what the estimate of the speed and the memory take for granted."""
    about = (
        "the memory is that of the training step: the networks of evaluations need less, but on a "
        "GPU the CUDA context and NCCL need up to 2 GiB outside of JAX's pool (guessed)",
        "without the device the GPU compiler does not autotune: workspaces may differ by a little",
    )
    lines = [f"  - {line}" for line in ASSUMPTIONS]
    return "\n".join(
        ["The speed is an estimate, a bound that no step exceeds. It assumes:", *lines]
        + ["The memory:", *(f"  - {line}" for line in about)]
    )


def table(records: Sequence[dict[str, Any]]) -> str:
    """Returns a Markdown table with a row per stage."""
    head = ("stage", "batch", "GiB per device", "fits", "largest batch", "fewest parts")
    head = (*head, "TFLOP", "GB moved", "at most, clips/s")
    rows = [head, *(_row(record) for record in records)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    lines = ["| " + " | ".join(map(str.ljust, row, widths)) + " |" for row in rows]
    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return "\n".join([lines[0], rule, *lines[1:]])


def _row(record: dict[str, Any]) -> tuple[str, ...]:
    parts = f" / {record['accumulate']}" if record["accumulate"] > 1 else ""
    needed, operations = record.get("needed_bytes"), record.get("operations")
    moved, estimate = record.get("traffic"), record.get("estimate")
    return (
        record["stage"] or record["recipe"],
        f"{record['batch_size']}{parts}",
        "-" if needed is None else f"{needed / GIB:.1f}",
        _fits(record),
        _largest(record),
        str(record.get("fewest_parts") or "-"),
        "-" if operations is None else f"{_flops(operations) / 1e12:.3g}",
        "-" if moved is None else f"{moved['memory'] / 1e9:.3g}",
        "-" if estimate is None else f"{estimate['clips_per_second']:.0f}",
    )


def _fits(record: dict[str, Any]) -> str:
    if record.get("fits"):
        return "yes"
    if record["error"] and record.get("needed_bytes") is None:
        return record["error"].replace("|", "/")[:60]
    if record.get("fits") is None:
        return "unknown"
    memory = record.get("memory_bytes")
    if memory and record["needed_bytes"] <= memory and not record["error"]:
        return "only above JAX's default pool"
    return "no"


def _largest(record: dict[str, Any]) -> str:
    if "largest_batch" not in record:
        return "-"
    best = record["largest_batch"]
    if best is None:
        return "none"
    return f"{best}" if record["largest_batch_is_exact"] else f"{best} or more"


def _compiles(record: dict[str, Any]) -> str:
    if record["compiles"]:
        return f"yes, in {record['compile_seconds']:.0f} s"
    return f"no: {record['error']}"


def _memory(record: dict[str, Any]) -> list[tuple[str, str]]:
    if record.get("needed_bytes") is None:
        return []
    verdicts = {True: "fits", False: "DOES NOT FIT", None: "limit unknown"}
    text = f"{_size(record['needed_bytes'])} per device"
    if record["memory_bytes"]:
        text += f" of {_size(record['memory_bytes'])}"
        if record["usable_bytes"] != record["memory_bytes"]:
            text += f", of which JAX's default pool has {_size(record['usable_bytes'])}"
    rows = [("memory", f"{text}: {verdicts[record['fits']]}")]
    if memory := record["memory"]:
        names = ("parameters", "optimizer", "batch", "next_batch", "temporaries", "rest")
        named = (f"{name.replace('_', ' ')} {_size(memory[name])}" for name in names)
        rows.append(("", ", ".join(named)))
    if record["fits"] is False and record["memory_bytes"] != record["usable_bytes"]:
        if record["needed_bytes"] <= 0.95 * record["memory_bytes"]:
            share = min(record["needed_bytes"] / record["memory_bytes"] + 0.03, 0.97)
            rows.append(("", f"fits with XLA_PYTHON_CLIENT_MEM_FRACTION={share:.2f}"))
    return rows


def _search(record: dict[str, Any]) -> list[tuple[str, str]]:
    if "largest_batch" not in record:
        return []
    rows = [("largest batch", _largest(record))]
    fewest = record["fewest_parts"]
    if fewest is None:
        text = f"none: batch {record['batch_size']} does not fit, one example at a time"
    else:
        text = f"--optim.accumulate {fewest} is enough for batch {record['batch_size']}"
        text += "" if record["fewest_parts_is_exact"] else ", perhaps less"
    return [*rows, ("fewest parts", text)]


def _work(record: dict[str, Any]) -> list[tuple[str, str]]:
    rows = []
    if operations := record.get("operations"):
        products = (f"{n / 1e12:.3g} {kind} products" for kind, n in operations["products"].items())
        text = f"{_flops(operations) / 1e12:.3g} TFLOP per step and device: {', '.join(products)}, "
        text += f"{operations['others'] / 1e12:.3g} other"
        if loops := operations["unknown_loops"]:
            text += f"; {loops} loops of unknown length count as one turn"
        rows.append(("work", text))
    if moved := record.get("traffic"):
        rows.append(("moved", f"{moved['memory'] / 1e9:.3g} GB of memory are read and written"))
        text = f"{moved['collectives']} collectives of {moved['exchanged'] / 1e6:.3g} MB; "
        text += f"each device sends {moved['sent'] / 1e6:.3g} MB"
        rows.append(("exchanged", text if record["devices"] > 1 else "nothing: one device"))
    return rows


def _speed(record: dict[str, Any]) -> list[tuple[str, str]]:
    estimate = record.get("estimate")
    if not estimate:
        return []
    parts = ("products", "others", "memory", "exchange")
    each = ", ".join(f"{name} {1000 * estimate[name]:.3g}" for name in parts)
    return [
        (
            "estimate",
            f"at least {1000 * estimate['total']:.3g} ms per step ({each}), bound by "
            f"{estimate['bound']}",
        ),
        (
            "reading",
            f"at most {estimate['clips_per_second']:.0f} clips per second are needed",
        ),
    ]


def _size(number: float) -> str:
    """Returns a number of bytes in GiB, or in MiB if it is small."""
    return f"{number / GIB:.1f} GiB" if number >= GIB / 4 else f"{number / 2**20:.1f} MiB"


def _flops(operations: dict[str, Any]) -> float:
    return sum(operations["products"].values()) + operations["others"]
