"""Reads weight files of PyTorch."""

import pickle
from pathlib import Path
from typing import Any

import jax.numpy as jnp  # gives NumPy and safetensors the dtype bfloat16
import numpy as np

TORCH_SUFFIXES = (".pth", ".pt", ".bin", ".tar")


def load_torch_state(path: str | Path) -> dict[str, np.ndarray]:
    """Loads the state dictionary in a file: PyTorch's parameter names -> arrays, floats as float32.

    The file may also be a training checkpoint that contains the state under "state_dict" or a
    similar name. A prefix "module." of all names (`DataParallel`) is removed.

    Args:
        path: a file written by `torch.save` (`.pth`, `.pt`, `.bin` or `.tar`), which is read
            without executing code that it may contain, or a `.safetensors` file.

    Raises:
        FileNotFoundError: if the file does not exist.
        ImportError: if PyTorch or safetensors is needed but not installed.
        ValueError: for an unknown file extension, or a file without a state dictionary.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"weights: no such file: {path}")
    if path.suffix == ".safetensors":
        state = _load_safetensors(path)
    elif path.suffix in TORCH_SUFFIXES:
        state = _find_state(_load_pickle(path), path)
    else:
        raise ValueError(
            f"weights: {path} has extension {path.suffix!r}; allowed: "
            f"{', '.join(TORCH_SUFFIXES)} and .safetensors."
        )
    if all(key.startswith("module.") for key in state):
        state = {key.removeprefix("module."): value for key, value in state.items()}
    return {key: _as_array(value) for key, value in state.items()}


def _load_safetensors(path: Path) -> dict[str, Any]:
    try:
        from safetensors import SafetensorError
        from safetensors.numpy import load_file
    except ImportError as error:
        raise ImportError(
            f"{path} needs the package safetensors: pip install safetensors"
        ) from error
    try:
        return load_file(path)
    except SafetensorError as error:
        raise ValueError(
            f"weights: {path} is not a safetensors file, or is damaged ({error})"
        ) from error


def _load_pickle(path: Path) -> Any:
    try:
        import torch
    except ImportError as error:
        raise ImportError(
            f"{path} needs PyTorch: pip install torch. Or convert the file where PyTorch is: "
            "safetensors.torch.save_file(torch.load(path, weights_only=True), "
            f"'{path.stem}.safetensors')"
        ) from error
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, KeyError) as error:
        raise ValueError(
            f"weights: {path} cannot be read as a file of tensors. If it is a pickled model that "
            "you trust, load it and call torch.save(model.state_dict(), ...). PyTorch: "
            f"{str(error).splitlines()[0]}"
        ) from error


def _find_state(content: Any, path: Path) -> dict[str, Any]:
    """Returns the dictionary of tensors in the content of a file, or in one of its entries."""
    state = content if isinstance(content, dict) else {}
    for name in ("state_dict", "model_state_dict", "model_state", "model"):
        if isinstance(state.get(name), dict):
            state = state[name]
            break
    if not state or not all(hasattr(value, "detach") for value in state.values()):
        has = f"the keys {sorted(state)[:8]}" if state else f"a {type(content).__name__}"
        raise ValueError(f"weights: {path} has no state dictionary of tensors; it contains {has}.")
    return state


def _as_array(value: Any) -> np.ndarray:
    if hasattr(value, "detach"):
        value = value.detach()
        value = (value.float() if value.is_floating_point() else value).numpy()
    is_float = value.dtype.kind == "f" or value.dtype == jnp.bfloat16
    return value.astype(np.float32) if is_float else value
