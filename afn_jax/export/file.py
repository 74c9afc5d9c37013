"""The format of `.afn` files: a zip with a card, programs in StableHLO, and weights.

| member | content |
|---|---|
| `card.json` | `format`, `version`, `card`, and the lists `modules` and `weights` |
| `cpu.stablehlo`, `cuda-tpu.stablehlo` | the function of (weights, frames), by `jax.export` |
| `weights/NUMBER.npy` | the arrays, in the order in which the function takes them |

Members are stored without compression. Nothing in a file is unpickled or executed as Python.
"""

import dataclasses
import errno
import io
import json
import math
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from afn_jax.atomic import complete_or_absent
from afn_jax.export.card import Card

FORMAT = "afn_jax network"
VERSION = 1
CARD = "card.json"
_MOST_CARD_BYTES = 16 << 20

EXPORT_AGAIN = "Export it again: python -m eval export --run RUN"


@dataclasses.dataclass(frozen=True)
class Contents:
    """What is in a file.

    Attributes:
        card: of the network.
        modules: serialized programs by the platforms that they run on.
        weights: arguments of the programs.
        weight_names: their paths in the network, such as "params/classifier/kernel".
    """

    card: Card
    modules: Mapping[tuple[str, ...], bytes]
    weights: tuple[np.ndarray, ...]
    weight_names: tuple[str, ...]


def write_file(path: str | os.PathLike[str], contents: Contents) -> None:
    """Writes a file; a reader sees the old file or the complete new one.

    Raises:
        OSError: the folder is missing, or the disk is full or cannot be written.
    """
    modules = [
        {"file": f"{'-'.join(platforms)}.stablehlo", "platforms": list(platforms)}
        for platforms in contents.modules
    ]
    weights = [
        {
            "file": f"weights/{number:04}.npy",
            "name": name,
            "shape": list(array.shape),
            "dtype": array.dtype.name,
        }
        for number, (name, array) in enumerate(
            zip(contents.weight_names, contents.weights, strict=True)
        )
    ]
    about = {
        "format": FORMAT,
        "version": VERSION,
        "card": contents.card.to_json(),
        "modules": modules,
        "weights": weights,
    }
    with complete_or_absent(path) as unfinished, zipfile.ZipFile(unfinished, "w") as file:
        # `ZipInfo` has a fixed date, so that the same contents give the same file.
        file.writestr(zipfile.ZipInfo(CARD), json.dumps(about, indent=1, allow_nan=False) + "\n")
        for entry, module in zip(modules, contents.modules.values(), strict=True):
            file.writestr(zipfile.ZipInfo(entry["file"]), module)
        for entry, array in zip(weights, contents.weights, strict=True):
            with file.open(zipfile.ZipInfo(entry["file"]), "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.asarray(array, order="C"), allow_pickle=False)


def read_file(path: str | os.PathLike[str]) -> Contents:
    """Reads a file and checks all of it: checksums, sizes, shapes and types.

    Raises:
        ValueError: not a network file, or a damaged, incomplete or too new one.
        OSError: the file is missing or cannot be read.
    """
    path = Path(path)
    if path.is_dir():
        raise ValueError(
            f"{path} is a folder, not a network file. To use the run in it, export it: "
            f"python -m eval export --run {path}"
        )
    with open(path, "rb") as stream:
        start = stream.read(4)
        try:
            return _read(stream, path)
        except (zipfile.BadZipFile, NotImplementedError, EOFError) as error:
            if not zipfile.is_zipfile(path) and start != b"PK\x03\x04":
                raise _foreign(path, "it is not a zip file") from error
            raise _damaged(path, str(error)) from error
        except OSError as error:
            if error.errno != errno.EINVAL:  # an impossible place in the file
                raise
            raise _damaged(path, "its directory is wrong") from error


def _read(stream: Any, path: Path) -> Contents:
    size = os.fstat(stream.fileno()).st_size
    with zipfile.ZipFile(stream) as file:
        members = {info.filename: info for info in file.infolist()}
        if CARD not in members:
            raise _foreign(path, f"it has no {CARD}")
        for info in members.values():
            if info.compress_type != zipfile.ZIP_STORED or info.file_size != info.compress_size:
                raise _damaged(path, f"{info.filename} is compressed")
        if sum(info.file_size for info in members.values()) > size:
            raise _damaged(path, "its members are larger than the file")
        if members[CARD].file_size > _MOST_CARD_BYTES:
            raise _damaged(path, f"{CARD} has {members[CARD].file_size} bytes")
        about = _about(file.read(CARD), path)
        try:
            card = Card.from_json(about["card"])
            modules = {
                tuple(map(str, entry["platforms"])): _member(file, entry)
                for entry in about["modules"]
            }
            if not modules or () in modules:
                raise ValueError(f"{CARD} does not say on which platforms its programs run")
            weights = tuple(_array(file, entry) for entry in about["weights"])
            names = tuple(str(entry["name"]) for entry in about["weights"])
        except OSError:
            raise
        except Exception as error:  # NumPy raises many types for a damaged header
            raise _damaged(path, _first_line(error)) from error
    return Contents(card, modules, weights, names)


def _about(text: bytes, path: Path) -> dict[str, Any]:
    try:
        about = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _damaged(path, f"{CARD}: {_first_line(error)}") from error
    if not isinstance(about, dict) or about.get("format") != FORMAT:
        raise _foreign(path, f"{CARD} does not describe one")
    version = about.get("version")
    if not isinstance(version, int) or version < 1:
        raise _damaged(path, f"version {version!r}")
    if version > VERSION:
        raise ValueError(
            f"{path} has version {version} of the format, and this is version {VERSION}: "
            "it is too new. Update afn_jax, or export it again with this version."
        )
    return about


def _member(file: zipfile.ZipFile, entry: Mapping[str, Any]) -> bytes:
    """Reads a file that the card names."""
    name = str(entry["file"])
    if name not in file.NameToInfo:
        raise ValueError(f"it has no {name}")
    return file.read(name)


def _array(file: zipfile.ZipFile, entry: Mapping[str, Any]) -> np.ndarray:
    """Reads an array of numbers without copying it."""
    name, data = str(entry["file"]), _member(file, entry)
    stream = io.BytesIO(data)
    version = np.lib.format.read_magic(stream)
    if version != (1, 0):
        raise ValueError(f"{name} has version {version} of the format .npy")
    shape, fortran, dtype = np.lib.format.read_array_header_1_0(stream)
    if fortran or dtype.hasobject or dtype.name != entry["dtype"] or list(shape) != entry["shape"]:
        raise ValueError(f"{name} has shape {shape} and type {dtype}, and {CARD} others")
    if len(data) - stream.tell() != math.prod(shape) * dtype.itemsize:
        raise ValueError(f"{name} has {len(data) - stream.tell()} bytes of numbers")
    return np.frombuffer(data, dtype, offset=stream.tell()).reshape(shape)


def _first_line(error: Exception) -> str:
    if isinstance(error, KeyError):
        return f"{error.args[0]} is missing" if error.args else "an entry is missing"
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0][:300]


def _foreign(path: Path, why: str) -> ValueError:
    return ValueError(
        f"{path} is not a network file ({why}). Give a file that `python -m eval export` wrote."
    )


def _damaged(path: Path, why: str) -> ValueError:
    return ValueError(
        f"{path} is damaged or incomplete ({why}). Copy it again, or {EXPORT_AGAIN[0].lower()}"
        f"{EXPORT_AGAIN[1:]}"
    )
