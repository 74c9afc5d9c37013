"""Exports every network at its smallest size and writes the table of `docs/export.md`.

python -m benchmarks.export_table results.json [NAME ...]   # measures; a later call continues
python -m benchmarks.export_table results.json --write      # writes the table

ONNX is measured where jax2onnx and onnxruntime are installed.
"""

import importlib.util
import json
import sys
import tempfile
import time
import zipfile
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from afn_jax.atomic import write_atomically
from afn_jax.export.forward import forward, output_shapes
from afn_jax.export.load import load
from afn_jax.export.onnx import check, convert, largest_difference
from afn_jax.export.write import write_network
from afn_jax.models import list_models
from benchmarks.tiny_models import tiny_model
from tests.export.fake_network import card_of
from tests.filled_variables import filled_variables

SIDE = 32
PAGE = Path(__file__).resolve().parent.parent / "docs" / "export.md"
START, END = "<!-- table of benchmarks/export_table.py -->\n", "<!-- end of the table -->\n"
# What is behind parts of messages.
CAUSES = {
    "Can't merge shape info": "jax2onnx gives empty parts of `jnp.pad(mode='edge')` a size of 1",
    "Attribute pads must not contain negative": "ONNX has no convolution with negative padding",
    "Graph output (": "jax2onnx loses the node of an output",
}


def measure(name: str, folder: Path) -> dict:
    """Exports one network and compares its outputs with those of the original."""
    model = tiny_model(name)
    shape = (1, model.num_frames, SIDE, SIDE, 3)
    variables = filled_variables(model, jnp.zeros(shape), train=False)
    predict = forward(model)
    shapes = output_shapes(predict, variables, shape)
    card = card_of(name, model, shapes, SIDE)
    path = folder / "network.afn"
    start = time.perf_counter()
    write_network(path, model, variables, card)
    seconds = time.perf_counter() - start
    with zipfile.ZipFile(path) as file:
        programs = [x.file_size for x in file.infolist() if not x.filename.startswith("weights/")]
    frames = np.random.default_rng(0).integers(0, 256, (2, *shape[1:]), np.uint8)
    expected = jax.jit(lambda v, x: model.apply(v, x.astype(jnp.float32) / 255.0, train=False))(
        variables, frames
    )
    outputs = load(path, flow=True, features=True)(frames)
    values, others = (jax.tree.leaves((x.logits, x.flows)) for x in (outputs, expected))
    result = {
        "difference": largest_difference(values, others),
        "bytes": sum(programs),
        "seconds": seconds,
    }
    if importlib.util.find_spec("jax2onnx"):
        named = {key: value for key, value in outputs._asdict().items() if value is not None}
        try:
            content = convert(predict, variables, card, len(frames))
            result["onnx"] = check(content, frames, named, name)
        except ValueError as error:
            result["onnx"] = str(error)
    return result


def table(results: dict[str, dict]) -> str:
    """Returns the table in Markdown."""
    lines = [
        "| network | `.afn`: difference | KB without weights | ONNX: difference |",
        "|---|---|---|---|",
    ]
    for name in list_models():
        if name not in results:
            raise ValueError(f"{name} was not measured: python -m benchmarks.export_table")
        result = results[name]
        onnx = result["onnx"]
        onnx = f"{onnx:.0e}" if isinstance(onnx, float) else f"no: {reason(onnx)}"
        kilobytes = result["bytes"] / 1000
        lines.append(f"| {name} | {result['difference']:.0e} | {kilobytes:.0f} | {onnx} |")
    return "\n".join(lines) + "\n"


def reason(message: str) -> str:
    """Returns the cause in a message of `write_onnx`."""
    for part, cause in CAUSES.items():
        if part in message:
            return cause
    return message.partition(": ")[2].removesuffix(". Export it without --onnx.").replace("|", "/")


def main(arguments: list[str]) -> int:
    """Measures, or writes the table."""
    path = Path(arguments[0])
    results = json.loads(path.read_text()) if path.exists() else {}
    if arguments[1:] == ["--write"]:
        page = PAGE.read_text(encoding="utf-8")
        before, _, rest = page.partition(START)
        write_atomically(PAGE, before + START + table(results) + END + rest.partition(END)[2])
        return 0
    for name in arguments[1:] or [name for name in list_models() if name not in results]:
        with tempfile.TemporaryDirectory() as folder:
            results[name] = measure(name, Path(folder))
        print(name, results[name], flush=True)
        path.write_text(json.dumps(results, indent=1) + "\n")
        jax.clear_caches()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
