"""Files of weights as PyTorch users have them."""

import pickle
from pathlib import Path
from typing import Any

import jax.numpy as jnp  # NumPy and safetensors know bfloat16 through it
import numpy as np

TORCH_SUFFIXES = (".pth", ".pt", ".bin", ".tar")


def load_torch_state(path: str | Path) -> dict[str, np.ndarray]:
    """The state dictionary in a file: parameter names of PyTorch -> arrays, floats as float32.

    A training checkpoint that holds the state under "state_dict" or the like, and names that begin
    with "module." (`DataParallel`), are understood.

    Args:
        path: `.pth`, `.pt`, `.bin` or `.tar` of `torch.save`, read without running code that it may
            hold, or `.safetensors`.

    Raises:
        FileNotFoundError: there is no such file.
        ImportError: PyTorch or safetensors is needed and not installed.
        ValueError: another ending, or a file that holds no state dictionary.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"weights: there is no file {path}")
    if path.suffix == ".safetensors":
        state = _load_safetensors(path)
    elif path.suffix in TORCH_SUFFIXES:
        state = _find_state(_load_pickle(path), path)
    else:
        raise ValueError(
            f"weights: {path} ends with {path.suffix!r}; known are {', '.join(TORCH_SUFFIXES)} and "
            ".safetensors"
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
            f"weights: {path} is no safetensors file or is damaged ({error})"
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
            f"weights: {path} cannot be read as a file of tensors. If it is a whole pickled model, "
            "save its state with torch.save(model.state_dict(), ...) where you trust it. PyTorch: "
            f"{str(error).splitlines()[0]}"
        ) from error


def _find_state(content: Any, path: Path) -> dict[str, Any]:
    """The dictionary of tensors in what a file holds, or in an entry of it."""
    if not isinstance(content, dict):
        raise ValueError(f"weights: {path} holds a {type(content).__name__}, no state dictionary")
    for name in ("state_dict", "model_state_dict", "model_state", "model"):
        if isinstance(content.get(name), dict):
            content = content[name]
            break
    others = [key for key, value in content.items() if not hasattr(value, "detach")]
    if others or not content:
        raise ValueError(
            f"weights: {path} holds no state dictionary of tensors; it has {sorted(content)[:8]}"
        )
    return content


def _as_array(value: Any) -> np.ndarray:
    if hasattr(value, "detach"):
        value = value.detach()
        value = (value.float() if value.is_floating_point() else value).numpy()
    is_float = value.dtype.kind == "f" or value.dtype == jnp.bfloat16
    return value.astype(np.float32) if is_float else value
