"""Measures how fast the networks classify clips, for every speed that the papers report.

    python -m benchmarks.inference [--rows NAME ...] [--scale paper|reduced] [--batch 8]
        [--dtype bfloat16] [--seconds 10] [--markdown | --write-docs]

Runs on one device, whatever its kind. Each network predicts one clip, and a batch of clips, in
three ways that take turns:

| way | from | to |
|---|---|---|
| resident | uint8 frames on the device | outputs on the device |
| upload | uint8 frames on the host | outputs on the device |
| predict | uint8 frames on the host | outputs on the host: what `python -m eval` calls |

Outputs are the scores and every flow of the network; the kernels are random. Reading videos is
not part of it. A network that fails, for example because the device has too little memory, is
reported as such, and the others are measured. The results are written as JSON after every network.

`--scale paper` has the papers' clips and widths. `--scale reduced`, the default on a CPU, has the
same numbers of frames, but small frames and narrow networks: such times say nothing about the
papers' figures. On a CPU the table contains ratios of processor time instead of times.
"""

import argparse
import dataclasses
import json
import math
import os
import shlex
import statistics
import sys
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from benchmarks.huge_pages import start_with_huge_pages  # noqa: E402

if __name__ == "__main__":
    start_with_huge_pages()

import flax.linen as nn  # noqa: E402
import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402

from afn_jax.command.accelerator import start_jax  # noqa: E402
from benchmarks.inference_section import section, summary_line  # noqa: E402
from benchmarks.speeds_of_papers import Row, find_rows  # noqa: E402
from benchmarks.this_machine import describe_machine, one_line  # noqa: E402
from benchmarks.timing import ROUNDS, interleaved_times  # noqa: E402
from eval.predict import host_predict  # noqa: E402
from train.code_version import code_version  # noqa: E402
from train.errors import exit_cleanly  # noqa: E402
from train.parallel import predict_on, replicate, split_batch  # noqa: E402
from train.step import make_predict  # noqa: E402


@dataclasses.dataclass(frozen=True)
class Scale:
    """Size of the frames and width of the networks; None: as in the papers."""

    side: int | None = None
    width: int | None = None


SCALES = {"paper": Scale(), "reduced": Scale(side=96, width=16)}


def measure(row: Row, scale: Scale, batches: list[int], dtype: str, seconds: float) -> dict:
    """Measures the network of a row.

    Args:
        row: the row.
        scale: size of its frames and width of its network.
        batches: numbers of clips.
        dtype: dtype of the computation.
        seconds: time to measure for, after compilation, over all batches.

    Returns:
        By number of clips: for each way, the median, shortest and longest seconds per batch and the
        number of rounds; or `error`, the reason why there are none.
    """
    overrides: dict[str, Any] = {"dtype": jnp.dtype(dtype)}
    if scale.width is not None:
        overrides["width"] = scale.width
    side = scale.side or row.side
    devices = jax.local_devices()[:1]
    model = row.network(**overrides)
    results, random = {}, np.random.default_rng(0)
    try:
        variables = replicate(random_variables(model, (1, row.frames, side, side, 3)), devices)
    except jax.errors.JaxRuntimeError as error:
        return {str(clips): {"error": _first_line(error)} for clips in batches}
    apply = predict_on(devices, make_predict(model))
    put = predict_on(devices, lambda _, frames: frames)
    predict = host_predict(apply, variables, len(devices))
    for clips in batches:
        frames = random.integers(0, 256, (clips, row.frames, side, side, 3), np.uint8)
        on_host = split_batch(frames, len(devices))
        try:
            resident = jax.block_until_ready(put((), on_host))
            ways = {
                "resident": lambda x=resident: jax.block_until_ready(apply(variables, x)),
                "upload": lambda x=on_host: jax.block_until_ready(apply(variables, x)),
                "predict": lambda x=frames: predict(x),
            }
            # On a CPU processor time, which other work on the machine changes less.
            clock = time.process_time if devices[0].platform == "cpu" else time.perf_counter
            times = interleaved_times(ways, ROUNDS, limit=seconds / len(batches), clock=clock)
            results[str(clips)] = {way: _spread(values) for way, values in times.items()}
        except jax.errors.JaxRuntimeError as error:
            results[str(clips)] = {"error": _first_line(error)}
    return results


def random_variables(model: nn.Module, shape: tuple[int, ...]) -> dict[str, Any]:
    """Makes variables with random kernels, and everything else as the network initializes it.

    Compiling the initialization of the kernels would take longer than that of the network.
    """

    def init():
        return model.init(jax.random.key(0), jnp.zeros(shape, jnp.float32), train=False)

    def is_kernel(path) -> bool:
        return jax.tree_util.keystr(path[-1:], simple=True) == "kernel"

    @jax.jit
    def others():
        leaves = jax.tree_util.tree_leaves_with_path(init())
        return [leaf for path, leaf in leaves if not is_kernel(path)]

    rest, random = iter(others()), np.random.default_rng(0)

    def fill(path, leaf):
        if not is_kernel(path):
            return next(rest)
        scale = math.sqrt(2 / math.prod(leaf.shape[:-1]))  # He's
        return np.float32(scale) * random.standard_normal(leaf.shape, np.float32)

    return jax.tree_util.tree_map_with_path(fill, jax.eval_shape(init))


def _spread(values: list[float]) -> dict[str, float]:
    middle = statistics.median(values)
    return {"median": middle, "min": min(values), "max": max(values), "rounds": len(values)}


def _first_line(error: Exception) -> str:
    if "RESOURCE_EXHAUSTED" in str(error):
        return "out of memory"
    return str(error).splitlines()[0][:200]


def describe(row: Row, scale: Scale) -> dict[str, Any]:
    """Returns what is known of a row before it is measured."""
    values = {
        "name": row.name,
        "table": row.table,
        "row": row.label,
        "paper_figure": row.figure,
        "paper_unit": row.unit,
        "paper_card": row.card,
        "paper_seconds_per_frame": row.seconds_per_frame,
    }
    if row.not_here:
        return values | {"not_here": row.not_here}
    side = scale.side or row.side
    return values | {
        "networks": [str(stream) for stream in row.streams],
        "reduced": scale != Scale(),
        "width": scale.width or 64,
        "clip": [row.frames, side, side],
        "frames_per_clip_as_counted": row.counted,
        "guessed": row.guessed,
    }


def run(options: argparse.Namespace, rows: list[Row]) -> dict[str, Any]:
    """Measures all rows; rows with the same network and clips share one measurement."""
    scale = SCALES[options.scale]
    batches = sorted({1, options.batch})
    result = {
        "machine": describe_machine(),
        "code": code_version(),
        "command": options.command,
        "scale": options.scale,
        "dtype": options.dtype,
        "clock": "processor" if jax.default_backend() == "cpu" else "wall",
        "batches": batches,
        "rows": [],
    }
    print(one_line(result["machine"]), flush=True)
    measured: dict[str, dict] = {}
    for row in rows:
        values = describe(row, scale)
        if row.streams:
            if row.key not in measured:
                measured[row.key] = measure(row, scale, batches, options.dtype, options.seconds)
                jax.clear_caches()
            values["measured"] = {
                clips: found
                if "error" in found
                else found
                | {
                    "fps": {
                        way: row.frames_per_second(int(clips), spread["median"])
                        for way, spread in found.items()
                    }
                }
                for clips, found in measured[row.key].items()
            }
        result["rows"].append(values)
        _write(options.json, result)
        print(summary_line(result, values), flush=True)
    return result


def _write(path: Path, result: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=1) + "\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.inference", description=__doc__.splitlines()[0]
    )
    add = parser.add_argument
    add(
        "--rows",
        nargs="+",
        default=[],
        metavar="NAME",
        help="rows or tables, such as hts/hidden-c or rf; default: all",
    )
    add("--list", action="store_true", help="list the rows and measure nothing")
    add(
        "--scale",
        choices=tuple(SCALES),
        help="the papers' sizes, or small ones; default: paper, on a CPU reduced",
    )
    add("--batch", type=int, default=8, help="clips per batch, besides single clips")
    add("--dtype", choices=("float32", "bfloat16"), default="float32", help="of the computation")
    add(
        "--seconds",
        type=float,
        default=10.0,
        help="time to measure each network for, at least one round; compilation comes on top",
    )
    add("--json", type=Path, default=Path("build/inference.json"), help="file for the results")
    add("--markdown", action="store_true", help="print the section of docs/benchmarks.md")
    add("--write-docs", action="store_true", help="write that section; needs PyTorch")
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Returns 1 if a network could not be measured."""
    parser = _parser()
    with exit_cleanly():
        options = parser.parse_args(arguments)
        given = sys.argv[1:] if arguments is None else arguments
        options.command = shlex.join(["python", "-m", "benchmarks.inference", *given])
        for name in ("batch", "seconds"):
            if getattr(options, name) <= 0:
                raise ValueError(f"{name}: got {getattr(options, name)}; allowed: above 0.")
        rows = find_rows(options.rows)
        if options.list:
            for row in rows:
                networks = " + ".join(map(str, row.streams)) or f"not here: {row.not_here}"
                print(f"{row.name:28} {row.table}: {row.label}: {networks}")
            return 0
        start_jax(".cache/jax")
        on_cpu = jax.default_backend() == "cpu"
        options.scale = options.scale or ("reduced" if on_cpu else "paper")
        result = run(options, rows)
        title, text = section(result)
        measured_on = one_line(result["machine"])
        if options.markdown:
            print(f"\n## {title}\n\nMeasured on {measured_on}.\n\n{text}\n")
        if options.write_docs:
            from benchmarks.report import write_section

            write_section(title, text, measured_on=measured_on)
        print(f"wrote {options.json}")
        measured = [found for row in result["rows"] for found in row.get("measured", {}).values()]
        return int(any("error" in found for found in measured))


if __name__ == "__main__":
    sys.exit(main())
