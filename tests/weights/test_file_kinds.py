"""Files that are not weights are named for what they are, by content, in one clear message."""

import gzip
import io
import json
import pickle
import tarfile
import zipfile

import numpy as np
import pytest

from afn_jax.weights import load_torch_state

torch = pytest.importorskip("torch")


class Net(torch.nn.Conv2d):
    pass


def torch_bytes(content, **options):
    file = io.BytesIO()
    torch.save(content, file, **options)
    return file.getvalue()


def npz():
    file = io.BytesIO()
    np.savez(file, conv1=np.zeros(2), fc=np.zeros(3))
    return file.getvalue()


def tar():
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("weights.pth"))
    return file.getvalue()


def zip_of(*names):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name in names:
            archive.writestr(name, b"x")
    return file.getvalue()


def script():
    file = io.BytesIO()
    torch.jit.save(torch.jit.trace(torch.nn.ReLU(), torch.zeros(1)), file)
    return file.getvalue()


STATE = {"conv.weight": torch.zeros(50)}
WHOLE = torch_bytes(Net(1, 1, 1))
# protobuf: field 1 = varint 8, field 2 = "pytorch"; and field 1 = "VGG_ILSVRC", field 2 = a message
ONNX = b"\x08\x08\x12\x07pytorch\x1a\x052.0.0"
CAFFE = b"\x0a\x0aVGG_ILSVRC\x12\x04data\x00\x00"
CASES = {
    "html": (b"\n<!DOCTYPE html><html><title>Not found</title>", "HTML page.*Download"),
    "xml": (b'<?xml version="1.0"?><Error>AccessDenied</Error>', "XML.*AccessDenied"),
    "lfs": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", "git lfs pull"),
    "empty": (b"", "an empty file"),
    "cut zip": (torch_bytes(STATE)[:300], "cut short.*300 bytes"),
    "cut old": (torch_bytes(STATE, _use_new_zipfile_serialization=False)[:-50], "cut short"),
    "gzip": (gzip.compress(b"x"), "gzip archive. Unpack"),
    "tar": (tar(), "tar archive. Unpack"),
    "zip": (zip_of("a.pth", "b.txt"), "zip archive of a.pth, b.txt. Unpack"),
    "keras": (zip_of("config.json", "model.weights.h5"), "model of Keras"),
    "json": (json.dumps({"message": "rate limit"}).encode(), "JSON, not.*rate limit"),
    "index": (json.dumps({"weight_map": {}}).encode(), "index of weights in several files"),
    "text": ("Error: quota überschritten\n".encode(), "text of 28 bytes.*quota"),
    "hdf5": (b"\x89HDF\r\n\x1a\n" + bytes(50), "HDF5 file, as Keras"),
    "onnx": (ONNX, "ONNX model"),
    "caffe": (CAFFE, "Caffe"),
    "prototxt": (b'name: "VGG"\nlayers {\n}\n', "prototxt.*without weights"),
    "tensorflow": (bytes(80) + b"\x57\xfb\x80\x8b\x24\x75\x47\xdb", "checkpoint of TensorFlow"),
    "npz": (npz(), "NumPy archive .* of conv1.npy, fc.npy"),
    "npy": (b"\x93NUMPY\x01\x00" + bytes(20), "single NumPy array"),
    "msgpack": (b"\x81\xa6params\x81\xa1a\x01", "msgpack file, as Flax"),
    "script": (script(), "TorchScript.*torch.jit.load"),
    "module": (WHOLE, r"objects of .*\.Net,.*whole model.*would execute.*torch.save\(model.state"),
    "pickle": (pickle.dumps({"a": [1, 2]}, protocol=2), "(cut short|no state dictionary)"),
    "arrays": (pickle.dumps({"a": np.zeros(2)}, protocol=4), "cannot be read as a file of torch"),
    "noise": (bytes([200, 3, 77, 255, 9, 1, 254, 128, 7]), "no known format.*c8 03 4d ff"),
}


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("kind", CASES)
def test_names_what_the_file_is(tmp_path, kind, suffix):
    content, message = CASES[kind]
    path = tmp_path / f"weights{suffix}"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"(?s)weights{suffix} .*{message}") as error:
        load_torch_state(path)
    assert "\x1b" not in str(error.value)
    assert "weights_only" not in str(error.value)  # PyTorch's advice to execute the code


def test_names_a_cut_safetensors_file(tmp_path):
    safetensors = pytest.importorskip("safetensors.torch")
    content = safetensors.save(STATE)
    (tmp_path / "a.safetensors").write_bytes(content[:-20])
    with pytest.raises(ValueError, match=f"cut short or damaged.*{len(content) - 20} bytes"):
        load_torch_state(tmp_path / "a.safetensors")


@pytest.mark.parametrize(
    "entries, message",
    [
        (["_METADATA", "manifest.ocdbt"], "Orbax"),
        (["config.json", "checkpoints"], "run folder.*--init.run"),
        (["saved_model.pb", "variables"], "SavedModel of TensorFlow"),
        (["pytorch_model.bin", "vocab.txt"], "a folder. Give a file in it, such as pytorch_model"),
        ([], "a folder. Give a file of weights"),
    ],
)
def test_names_what_a_folder_is(tmp_path, entries, message):
    for entry in entries:
        (tmp_path / entry).touch()
    with pytest.raises(ValueError, match=message):
        load_torch_state(tmp_path)


def test_tells_the_whole_cause_of_a_damaged_file(tmp_path):
    content = bytearray(torch_bytes(STATE, _use_new_zipfile_serialization=False))
    (tmp_path / "a.pth").write_bytes(content[:-50])
    with pytest.raises(ValueError, match="PyTorch says: unexpected EOF, expected 50 more bytes"):
        load_torch_state(tmp_path / "a.pth")
