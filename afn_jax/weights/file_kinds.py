"""Says what a file is by its content, for files that were taken for PyTorch weights but are not."""

import io
import json
import zipfile
from pathlib import Path
from typing import BinaryIO

SAVE_STATE = "torch.save(model.state_dict(), 'weights.pth')"
_DOWNLOAD = "Download the file itself again; a download link often differs from the page's address."
_HDF5 = b"\x89HDF\r\n\x1a\n"

# Beginning of the file -> what it is, and what to do.
_MAGIC = {
    b"\x1f\x8b": ("a gzip archive", "Unpack it (gunzip, tar -xzf)."),
    b"BZh": ("a bzip2 archive", "Unpack it (bunzip2, tar -xjf)."),
    b"\xfd7zXZ\x00": ("an xz archive", "Unpack it (unxz, tar -xJf)."),
    b"\x28\xb5\x2f\xfd": ("a zstd archive", "Unpack it (unzstd)."),
    b"7z\xbc\xaf\x27\x1c": ("a 7z archive", "Unpack it."),
    b"Rar!": ("a RAR archive", "Unpack it."),
    _HDF5: (
        "an HDF5 file, as Keras writes (.h5)",
        "Export the network to PyTorch's names and save that as .safetensors.",
    ),
    b"\x93NUMPY": ("a single NumPy array (.npy)", "Give a file with all arrays and their names."),
    b"MATLAB 5.0": ("a MATLAB file", "Save its arrays under PyTorch's names as .safetensors."),
    b"MATLAB 7.3": ("a MATLAB file", "Save its arrays under PyTorch's names as .safetensors."),
    b"GGUF": ("a GGUF file", "Give PyTorch's file."),
    b"\x89PNG": ("a PNG picture", "Give the file of weights."),
    b"\xff\xd8\xff": ("a JPEG picture", "Give the file of weights."),
    b"%PDF": ("a PDF document", "Give the file of weights."),
}
_CONVERT = "Give the PyTorch weights, or convert it to PyTorch's names and save as .safetensors."


def is_zip_of_torch(path: Path) -> bool:
    """Whether a file is a zip archive as `torch.save` writes, and not TorchScript."""
    names = _zip_names(path)
    return _has(names, "data.pkl") and not _has(names, "constants.pkl")


def is_safetensors(path: Path) -> bool:
    """Whether a file begins as safetensors files do: length of a JSON header, then the header."""
    with path.open("rb") as file:
        head = file.read(9)
    length = int.from_bytes(head[:8], "little")
    return len(head) == 9 and head[8:] == b"{" and 2 <= length <= 100_000_000


def describe_folder(path: Path) -> str:
    """What a folder is that was given instead of a file, and what to do."""
    names = {entry.name for entry in path.iterdir()}
    if "config.json" in names and "checkpoints" in names:
        return "a run folder of `python -m train`. Start from it with --init.run."
    if names & {"_METADATA", "_CHECKPOINT_METADATA", "manifest.ocdbt"} or "default" in names:
        return (
            "a checkpoint folder of Orbax (Flax). Weights here are PyTorch files. To start from a "
            "run of `python -m train`, give its folder: --init.run DIR."
        )
    if names & {"saved_model.pb", "keras_metadata.pb"}:
        return f"a SavedModel of TensorFlow. {_CONVERT}"
    if ".metadata" in names:
        return "a distributed checkpoint of PyTorch. Convert it: torch.distributed.checkpoint."
    if "data.pkl" in names:
        return "an unpacked archive of torch.save. Give the archive, as it was before unpacking."
    files = sorted(n for n in names if n.endswith((".safetensors", ".pth", ".pt", ".bin")))
    return "a folder. " + (
        f"Give a file in it, such as {files[0]}." if files else "Give a file of weights."
    )


def describe(path: Path) -> str:
    """What a file is that is neither PyTorch's nor safetensors, and what to do."""
    size = path.stat().st_size
    if not size:
        return "an empty file. Download it again."
    with path.open("rb") as file:
        head = file.read(4096)
        file.seek(max(0, size - 8))
        tail = file.read()
    for magic, (what, advice) in _MAGIC.items():
        if head.startswith(magic):
            return f"{what}. {advice}"
    if head.startswith(b"PK"):
        return _describe_zip(path, size)
    if head[257:262] == b"ustar":
        return "a tar archive. Unpack it (tar -xf)."
    if tail == b"\x57\xfb\x80\x8b\x24\x75\x47\xdb":  # of a table of LevelDB
        return f"a checkpoint of TensorFlow. {_CONVERT}"
    if ".data-0" in path.name:
        return f"the data of a TensorFlow checkpoint. {_CONVERT}"
    if head[4:8] == b"TFL3":
        return f"a TensorFlow Lite model. {_CONVERT}"
    if head[4:8] == b"ftyp":
        return "a video or picture in an MP4 container. Give the file of weights."
    text = _text(head)
    if text is not None:
        return _describe_text(text, head, size)
    if head[:1] in b"\x80" and head[1:2] in b"\x02\x03\x04\x05":
        return f"a pickle that PyTorch cannot read without executing code. {_how_to_save()}"
    if _is_msgpack(head):
        return f"a msgpack file, as Flax writes. {_CONVERT}"
    return _describe_protobuf(head) or (
        f"in no known format of weights; it begins with the bytes {head[:8].hex(' ')}. "
        "Give a file of torch.save, or .safetensors."
    )


def _how_to_save() -> str:
    return f"Where you trust it and have its code, load it and save the parameters: {SAVE_STATE}"


def _zip_names(path: Path) -> list[str]:
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.namelist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError, OSError, EOFError):
        return []


def _has(names: list[str], name: str) -> bool:
    return any(n == name or n.endswith(f"/{name}") for n in names)


def _describe_zip(path: Path, size: int) -> str:
    names = _zip_names(path)
    if not names:
        return (
            f"a zip archive that is cut short or damaged: its directory, at the end of the file, "
            f"is missing. It has {size} bytes; compare with the original and download it again."
        )
    some = ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
    if _has(names, "constants.pkl") or _has(names, "serialized_exported_program.json"):
        return (
            "a program for PyTorch (TorchScript or torch.export), not a file of parameters. Save "
            "them: torch.save(torch.jit.load(path).state_dict(), 'weights.pth')"
        )
    if all(n.endswith(".npy") for n in names):
        return f"a NumPy archive (.npz) of {some}. Save its arrays as .safetensors."
    if _has(names, "model.weights.h5"):
        return f"a model of Keras. {_CONVERT}"
    return f"a zip archive of {some}. Unpack it."


def _text(head: bytes) -> str | None:
    try:
        text = io.TextIOWrapper(io.BytesIO(head), "utf-8-sig").read()
    except UnicodeDecodeError as error:
        if error.start < len(head) - 4:  # not a character cut by the end of `head`
            return None
        text = head[: error.start].decode("utf-8-sig")
    printable = all(c.isprintable() or c in "\r\n\t\f" for c in text)
    return text if printable else None


def _describe_text(text: str, head: bytes, size: int) -> str:
    lower = text.lstrip().lower()
    if lower.startswith("version https://git-lfs"):
        return "a pointer of git-lfs, not the file. Fetch it: git lfs pull"
    if lower.startswith(("<!doctype html", "<html", "<head", "<script")):
        return f"an HTML page, not a file of weights. {_DOWNLOAD}"
    if lower.startswith("<"):
        return f"an XML document, such as the answer of a server: {_begin(text)}. {_DOWNLOAD}"
    if lower.startswith("model_checkpoint_path"):
        return f"the list of checkpoints of TensorFlow. {_CONVERT}"
    if lower.startswith(("{", "[")):
        if '"weight_map"' in text or '"total_size"' in text:
            return "the index of weights in several files. Merge them into one file and give that."
        try:
            json.loads(text)
            what = "JSON"
        except (ValueError, RecursionError):
            what = "text like JSON"
        return f"{what}, not a file of weights: {_begin(text)}. {_DOWNLOAD}"
    if "layer {" in text or "layers {" in text:
        return "a network definition of Caffe (prototxt), without weights."
    return f"text of {size} bytes, not a file of weights: {_begin(text)}. {_DOWNLOAD}"


def _begin(text: str) -> str:
    text = " ".join(text.split())
    return repr(text if len(text) <= 80 else text[:80] + "...")


def _is_msgpack(head: bytes) -> bool:
    """Whether the beginning is a msgpack dictionary whose first key is a name."""
    if not 0x81 <= head[0] <= 0x8F:
        return False
    length, start = (head[1] - 0xA0, 2) if head[1:2] != b"\xd9" else (head[2], 3)
    name = head[start : start + length]
    return 0 < length <= 64 and name.isascii() and name.decode("ascii").isprintable()


def _describe_protobuf(head: bytes) -> str:
    """ONNX and Caffe files by the first fields of their messages; "": neither."""
    fields = _fields(io.BytesIO(head))
    if len(fields) < 2:
        return ""
    (first, value), (second, _) = fields[:2]
    if first == 1 and isinstance(value, int) and 1 <= value <= 30 and second in (2, 3, 7, 8):
        return f"an ONNX model. {_CONVERT}"
    if first == 1 and isinstance(value, bytes) and second in (2, 3, 100):
        if _text(value) is not None:
            return f"a binary message as Caffe (.caffemodel) and TensorFlow (.pb) write. {_CONVERT}"
    return ""


def _fields(stream: BinaryIO, most: int = 2) -> list[tuple[int, int | bytes]]:
    """The first fields of a protobuf message: numbers, and values that are integers or bytes."""
    fields: list[tuple[int, int | bytes]] = []
    while len(fields) < most:
        tag = _varint(stream)
        if tag is None or tag & 7 not in (0, 2):
            break
        value = _varint(stream)
        if value is None:
            break
        fields.append((tag >> 3, stream.read(min(value, 4096)) if tag & 7 == 2 else value))
    return fields


def _varint(stream: BinaryIO) -> int | None:
    value = 0
    for shift in range(0, 70, 7):
        byte = stream.read(1)
        if not byte:
            return None
        value |= (byte[0] & 0x7F) << shift
        if byte[0] < 0x80:
            return value
    return None
