"""The parser of network files. It checks a file before JAX reads its programs."""

import tempfile
from pathlib import Path

import numpy as np

from benchmarks.fuzzing.formats import archive
from benchmarks.fuzzing.parser import Files, Parser, require


def _seeds() -> list[Files]:
    from afn_jax.export.file import Contents, write_file
    from tests.export.fake_network import make_card

    card = make_card(num_frames=2, size=(4, 4), short_side=4, flow_starts=(0,))
    weights = (np.arange(6, dtype=np.float32).reshape(2, 3), np.array(1, np.float32))
    contents = Contents(card, {("cpu",): b"ML\xefR", ("cuda", "tpu"): b""}, weights, ("a", "b"))
    with tempfile.TemporaryDirectory() as folder:
        write_file(Path(folder) / "a.afn", contents)
        return [{"a.afn": (Path(folder) / "a.afn").read_bytes()}]


def _read(folder: Path) -> None:
    from afn_jax.export.card import Card
    from afn_jax.export.file import read_file

    contents = read_file(folder / "a.afn")
    require(Card.from_json(contents.card.to_json()) == contents.card, "card")
    require(len(contents.weights) == len(contents.weight_names), "names of weights")
    for array in contents.weights:
        require(isinstance(array, np.ndarray) and not array.dtype.hasobject, "weights")
    for platforms, program in contents.modules.items():
        require(isinstance(program, bytes) and isinstance(platforms, tuple), "programs")


PARSERS = [
    Parser(
        "network files (.afn)",
        "afn_jax.export.file.read_file",
        ("ValueError",),
        _seeds,
        _read,
        reshape=archive,
        cost=2,
    ),
]
