"""Reads weight files of PyTorch."""

import argparse
import re
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jax.numpy as jnp  # also gives NumPy and safetensors the dtype bfloat16
import numpy as np

from afn_jax.weights.file_kinds import (
    SAVE_STATE,
    describe,
    describe_folder,
    is_safetensors,
    is_zip_of_torch,
)

# Entries of training checkpoints that hold the parameters, in order of preference.
WRAPPERS = (
    *("state_dict", "model_state_dict", "model_state", "model", "net", "network", "module"),
    *("ema", "model_ema", "state_dict_ema", "teacher", "student"),
)
_PARALLEL = ("module.", "_orig_mod.")  # of DataParallel and torch.compile
_PICKLE = tuple(bytes([0x80, protocol]) for protocol in (2, 3, 4, 5))


def load_torch_state(path: str | Path) -> dict[str, np.ndarray]:
    """Loads the state dictionary in a file: PyTorch's parameter names -> arrays, floats as float32.

    The file may also be a training checkpoint that contains the state in one of the entries
    `WRAPPERS`; the first of them is used. Beginnings "module." (`DataParallel`) and "_orig_mod."
    (`torch.compile`) that all names share are removed. `initialize_from`, which knows the names of
    the network, also removes other beginnings.

    Args:
        path: a file written by `torch.save`, which is read without executing code that it may
            contain, or a safetensors file. Its content decides, not its extension.

    Raises:
        FileNotFoundError: if the file does not exist.
        ImportError: if PyTorch or safetensors is needed but not installed.
        ValueError: for any other kind of file, a damaged file, or one without a state dictionary.
    """
    content = _read(Path(path))
    while inside := [content[name] for name in WRAPPERS if _holds_tensors(content.get(name))]:
        content = inside[0]
    state = dict(_flatten(content))
    while beginnings := [b for b in _PARALLEL if all(name.startswith(b) for name in state)]:
        state = {name.removeprefix(beginnings[0]): value for name, value in state.items()}
    return to_arrays(state, path)


def read_tensors(path: str | Path) -> dict[str, Any]:
    """Reads all tensors of a file under their full names: "state_dict.module.conv1.weight".

    Keys of nested dictionaries are joined by dots. Content that is not a tensor is left out.

    Raises: see `load_torch_state`.
    """
    return dict(_flatten(_read(Path(path))))


def _read(path: Path) -> Mapping[Any, Any]:
    """Returns the dictionary in a file; it contains a tensor somewhere."""
    if path.is_dir():
        raise ValueError(f"weights: {path} is {describe_folder(path)}")
    if not path.is_file():
        raise FileNotFoundError(f"weights: no such file: {path}")
    with path.open("rb") as file:
        head = file.read(2)
    if head.startswith(_PICKLE) or (head == b"PK" and is_zip_of_torch(path)):
        content = _load_pickle(path)
    elif is_safetensors(path):
        content = _load_safetensors(path)
    else:
        raise ValueError(f"weights: {path} is {describe(path)}")
    if not isinstance(content, Mapping):
        raise ValueError(
            f"weights: {path} contains a {type(content).__name__}, not a state dictionary. Save "
            f"one: {SAVE_STATE}"
        )
    if not _holds_tensors(content):
        raise ValueError(
            f"weights: {path} has no state dictionary of tensors; it contains the keys "
            f"{[str(key) for key in content][:8]}."
        )
    return content


def to_arrays(state: Mapping[str, Any], path: str | Path) -> dict[str, np.ndarray]:
    """Converts tensors of PyTorch and NumPy arrays to arrays, floats as float32."""
    arrays = {}
    for name, value in state.items():
        try:
            arrays[name] = _as_array(value)
        except (TypeError, RuntimeError, NotImplementedError, ValueError, MemoryError) as error:
            raise ValueError(
                f"weights: {path}: {name} is not a dense tensor of numbers ({error})"
            ) from error
    return arrays


def _flatten(content: Mapping[Any, Any], beginning: str = "", depth: int = 0) -> Iterator:
    for key, value in content.items():
        if hasattr(value, "detach") or isinstance(value, np.ndarray):
            yield f"{beginning}{key}", value
        elif isinstance(value, Mapping) and depth < 8:
            yield from _flatten(value, f"{beginning}{key}.", depth + 1)


def _holds_tensors(content: Any) -> bool:
    return isinstance(content, Mapping) and next(_flatten(content), None) is not None


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
    except (AttributeError, KeyError) as error:  # names of numbers that NumPy does not have
        raise ValueError(
            f"weights: {path} has tensors of a type that NumPy does not have ({error}). Save them "
            "as float32: {key: value.float() for key, value in state.items()}"
        ) from error
    except (SafetensorError, ValueError, TypeError, OverflowError) as error:
        raise ValueError(
            f"weights: {path} is a safetensors file, but cut short or damaged ({error}). It has "
            f"{path.stat().st_size} bytes; compare with the original and download it again."
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
        with (
            warnings.catch_warnings(),
            torch.serialization.safe_globals(_harmless()),
            path.open("rb") as file,  # with a path, the extension would decide
        ):
            warnings.simplefilter("ignore")
            return torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged pickle can raise any of Python's errors
        raise ValueError(f"weights: {path} {_explain(error)}") from error


def _harmless() -> list[Any]:
    """Classes that hold plain values and are common in checkpoints: arguments, NumPy's numbers."""
    import _codecs

    multiarray = np._core.multiarray
    kinds = [type(np.dtype(name)) for name in ("float64", "float32", "int64", "int32", "bool")]
    return [
        *(argparse.Namespace, np.dtype, np.ndarray, _codecs.encode),
        *(multiarray.scalar, multiarray._reconstruct, *kinds),
    ]


def _explain(error: Exception) -> str:
    """The cause of an error of `torch.load`, without its advice to execute the file's code."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", str(error))
    if match := re.search(r"GLOBAL ([\w.]+) was not", text):
        return (
            f"contains Python objects of {match[1]}, such as a whole model instead of its "
            "parameters. Reading them would execute code of the file, so it was not read. Where "
            f"you trust it and have its code, load it and save the parameters: {SAVE_STATE}"
        )
    cause = text.partition("WeightsUnpickler error:")[2] or text
    cause = " ".join(cause.partition("Check the documentation of torch.load")[0].split())
    kind = "" if isinstance(error, RuntimeError) else f"{type(error).__name__}: "
    return (
        "cannot be read as a file of torch.save: it is cut short or damaged, or a pickle of "
        f"something else. Download it again, or save the parameters again: {SAVE_STATE} "
        f"(PyTorch says: {kind}{cause})"
    )


def _as_array(value: Any) -> np.ndarray:
    if hasattr(value, "detach"):
        value = value.detach()
        value = (value.float() if value.is_floating_point() else value).numpy()
    return value.astype(np.float32) if jnp.issubdtype(value.dtype, jnp.floating) else value
