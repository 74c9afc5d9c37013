"""Parsers of weight files, safetensors and PyTorch's, and their conversion."""

import io
from pathlib import Path

import numpy as np

from benchmarks.fuzzing.formats import archive, safetensors
from benchmarks.fuzzing.parser import Files, Parser, require


def _state(width: int = 2) -> dict[str, np.ndarray]:
    """Zeros with the names of ResNet-18, one element each but for the first layer."""
    from afn_jax.weights.torchvision import torch_layers

    shapes = {"conv": (width, 1, 1, 1), "dense": (width, 1), "norm": (width,)}
    return {
        name: np.zeros(shapes[layer.kind] if name.endswith("weight") else (width,), np.float32)
        for name, layer in torch_layers("resnet18").items()
    }


def _safetensors_seeds() -> list[Files]:
    from safetensors.numpy import save

    few = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b.c": np.ones(4, np.int64)}
    return [{"a.safetensors": save(few)}, {"a.safetensors": save(_state())}]


def _torch_seeds(zipped: bool):
    def seeds() -> list[Files]:
        import torch

        few = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.ones(4, dtype=torch.bfloat16)}
        state = {f"module.{k}": torch.from_numpy(v) for k, v in _state().items()}
        contents = [few, {"epoch": 3, "state_dict": state, "optimizer": {"state": {0: few}}}]
        files = []
        for content in contents:
            file = io.BytesIO()
            torch.save(content, file, _use_new_zipfile_serialization=zipped)
            files.append({"a.pth": file.getvalue()})
        return files

    return seeds


def _read_weights(folder: Path) -> None:
    from afn_jax.weights import convert, load_torch_state
    from afn_jax.weights.files import read_tensors, to_arrays
    from afn_jax.weights.names import fit_names

    (path,) = folder.iterdir()
    state = load_torch_state(path)
    require(bool(state), "no arrays")
    for name, value in state.items():
        require(isinstance(name, str) and isinstance(value, np.ndarray), "names and arrays")
        require(value.dtype.kind != "f" or value.dtype == np.float32, f"dtype {value.dtype}")
    if path.stat().st_size > 5000:  # the names of ResNet-18
        fitted = fit_names(read_tensors(path), "resnet18", skip=("classifier",))
        converted = convert(to_arrays(fitted.state, path), "resnet18", partial=True)
        require(bool(converted), "nothing was converted")


_ERRORS = ("ValueError",)

PARSERS = [
    Parser(
        "weights: safetensors",
        "load_torch_state, fit_names, convert",
        _ERRORS,
        _safetensors_seeds,
        _read_weights,
        reshape=safetensors,
        cost=2,
    ),
    Parser(
        "weights: torch.save, zip",
        "load_torch_state, fit_names, convert",
        _ERRORS,
        _torch_seeds(True),
        _read_weights,
        reshape=archive,
        cost=4,
    ),
    Parser(
        "weights: torch.save, old",
        "load_torch_state, fit_names, convert",
        _ERRORS,
        _torch_seeds(False),
        _read_weights,
        cost=4,
    ),
]
