"""Tests of network files: what is loaded, and what is rejected."""

import dataclasses
import io
import json
import re
import subprocess
import sys
import warnings
import zipfile
from pathlib import Path

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest

from afn_jax.export import load
from afn_jax.export.file import Contents, read_file, write_file
from tests.export.small_file import small_card, small_network, some_frames, write_small

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    path = tmp_path_factory.mktemp("small") / "small.afn"
    write_small(path)
    return path


@pytest.fixture
def copy(small, tmp_path):
    """A copy to damage."""
    path = tmp_path / "copy.afn"
    path.write_bytes(small.read_bytes())
    return path


def change_card(path, **changes):
    """Writes the file again with other entries of `card.json`."""
    with zipfile.ZipFile(path) as file:
        members = {name: file.read(name) for name in file.namelist()}
    members["card.json"] = json.dumps(json.loads(members["card.json"]) | changes).encode()
    write_members(path, members)


def write_members(path, members, **options):
    with zipfile.ZipFile(path, "w", **options) as file:
        for name, content in members.items():
            file.writestr(name, content)


def test_predicts_what_the_network_predicts(small):
    network = load(small, flow=True, features=True)
    model, variables = small_network()
    frames = some_frames(3, network.card)
    expected = model.apply(variables, jnp.asarray(frames, jnp.float32) / 255, train=False)
    for batch in (3, 1):
        outputs = network(frames[:batch])
        np.testing.assert_allclose(outputs.logits, expected.logits[:batch], atol=1e-6)
        (flow,) = outputs.flows
        np.testing.assert_allclose(flow, expected.flows[0][:batch], atol=1e-6)
        last = variables["params"]["classifier"]
        np.testing.assert_allclose(
            np.asarray(outputs.features) @ np.asarray(last["kernel"]) + np.asarray(last["bias"]),
            outputs.logits,
            atol=1e-6,
        )
    assert network.card == small_card(platforms=("cpu", "cuda", "tpu"))


def test_computes_only_what_is_asked_for(small):
    network = load(small)
    frames = some_frames(1, network.card)
    outputs = network(frames)
    assert outputs.logits.shape == (1, 3) and outputs.flows == () and outputs.features is None

    def operations(network):
        return network._call.lower(network._weights, frames).compile().cost_analysis()["flops"]

    with_flow = operations(load(small, flow=True))
    channels, maps = 4, 4 * 4 * 6
    assert with_flow - operations(network) >= 2 * channels * 2 * maps  # of the flow's convolution


def test_leaves_out_outputs_that_were_not_trained(tmp_path):
    from afn_jax.export.write import write_network

    card = small_card(class_names=(), feature_size=0)
    write_network(tmp_path / "a.afn", *small_network(), card, classifies=False)
    network = load(tmp_path / "a.afn", flow=True, features=True)
    outputs = network(some_frames(1, network.card))
    assert outputs.logits is None and outputs.features is None and len(outputs.flows) == 1


def test_rejects_other_frames(small):
    network = load(small)
    with pytest.raises(ValueError, match=r"frames: got shape \(1, 3, .*takes \[batch, 4, 8, 12, 3"):
        network(some_frames(1, network.card)[:, :3])


def test_files_are_the_same_each_time_and_name_no_folder(small, tmp_path):
    write_small(tmp_path / "again.afn")
    content = small.read_bytes()
    assert (tmp_path / "again.afn").read_bytes() == content
    for folder in (str(ROOT), sys.prefix, "site-packages"):
        assert folder.encode() not in content


def test_loading_needs_only_jax_and_numpy(small):
    code = f"""
import sys
for name in ("flax", "optax", "chex", "orbax", "jaxtyping", "grain", "tyro", "rich"):
    sys.modules[name] = None
import numpy as np
from afn_jax.export import load
network = load({str(small)!r})
card = network.card
print(network(np.zeros((2, card.num_frames, *card.size, 3), np.uint8)).logits.shape)
"""
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert result.stdout.strip() == "(2, 3)", result.stderr[-2000:]


@pytest.mark.parametrize("keep", [0.9, 0.5, 0.01])
def test_rejects_half_a_file(copy, keep):
    content = copy.read_bytes()
    copy.write_bytes(content[: int(keep * len(content))])
    with pytest.raises(ValueError, match=r"copy.afn is damaged or incomplete.*export it again"):
        load(copy)


def test_rejects_a_flipped_bit_anywhere_in_weights_or_programs(copy):
    content = copy.read_bytes()
    with zipfile.ZipFile(copy) as file:
        infos = {info.filename: info for info in file.infolist()}
    for name in ("cpu.stablehlo", "cuda-tpu.stablehlo", "weights/0000.npy"):
        place = infos[name].header_offset + 30 + len(name) + infos[name].file_size // 2
        copy.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        with pytest.raises(ValueError, match=rf"copy.afn is damaged .*{re.escape(name)}"):
            load(copy)


def test_rejects_foreign_files(tmp_path):
    path = tmp_path / "a.afn"
    foreign = "a.afn is not a network file .*python -m eval export"
    for content in (b"", b"\x00\x00\x00\x18ftypmp42" + bytes(100), b"{}"):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=foreign):
            load(path)
    for members in ({"a.txt": "a"}, {"card.json": "[1]"}, {"card.json": '{"format": "another"}'}):
        write_members(path, members)
        with pytest.raises(ValueError, match=foreign):
            load(path)
    with pytest.raises(ValueError, match="is a folder, not a network file.*eval export --run"):
        load(tmp_path)
    with pytest.raises(FileNotFoundError, match="b.afn"):
        load(tmp_path / "b.afn")


def test_rejects_a_newer_format(copy):
    change_card(copy, version=2)
    with pytest.raises(ValueError, match="copy.afn has version 2 .* too new. Update afn_jax"):
        load(copy)


@pytest.mark.parametrize(
    "changes, message",
    [
        (dict(version="1"), "version '1'"),
        (dict(card={}), "no field 'model'"),
        (dict(weights=[]), "does not fit its card and weights"),
        (dict(modules=[{"platforms": ["cpu"], "file": "gone"}]), r"\(it has no gone\)"),
        (dict(modules=[{"platforms": [], "file": "cpu.stablehlo"}]), "on which platforms"),
        (dict(modules=[]), "on which platforms"),
        (dict(weights=[{"file": "weights/0000.npy"}]), r"\(dtype is missing\)"),
        (dict(modules=5), "int"),
        (dict(card=small_card(num_frames=5).to_json()), "does not fit its card"),
        (dict(card=small_card(class_names=("a",)).to_json()), "does not fit its card"),
        (dict(card=small_card(feature_size=3).to_json()), "does not fit its card"),
    ],
)
def test_rejects_a_card_that_does_not_fit(copy, changes, message):
    change_card(copy, **changes)
    with pytest.raises(ValueError, match=rf"copy.afn is damaged.*{message}"):
        load(copy)


def test_rejects_compressed_members(copy):
    with zipfile.ZipFile(copy) as file:
        members = {name: file.read(name) for name in file.namelist()}
    write_members(copy, members, compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(ValueError, match="card.json is compressed"):
        load(copy)


def _npy(array, **options):
    stream = io.BytesIO()
    np.save(stream, array, **options)
    return stream.getvalue()


def test_rejects_files_without_weights(copy):
    with zipfile.ZipFile(copy) as file:
        members = {name: file.read(name) for name in file.namelist()}
    del members["weights/0000.npy"]
    write_members(copy, members)
    with pytest.raises(ValueError, match=r"incomplete \(it has no weights/0000.npy\)"):
        load(copy)


def test_warns_of_a_jaxlib_with_wrong_sums(small, monkeypatch):
    monkeypatch.setattr("jaxlib.__version__", "0.10.2")
    with pytest.warns(RuntimeWarning, match="0.10.2 computes wrong sums on the CPU.*pip install"):
        load(small)
    monkeypatch.setattr("jaxlib.__version__", "0.10.1")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load(small)


def test_never_unpickles(copy, tmp_path):
    """An array of objects would be unpickled, which can run any code."""

    class Touch:
        def __reduce__(self):
            return Path.touch, (tmp_path / "touched",)

    with zipfile.ZipFile(copy) as file:
        members = {name: file.read(name) for name in file.namelist()}
    members["weights/0000.npy"] = _npy(np.array([Touch()]), allow_pickle=True)
    write_members(copy, members)
    with pytest.raises(ValueError, match="copy.afn is damaged"):
        load(copy)
    assert not (tmp_path / "touched").exists()


def test_rejects_weights_of_another_size(copy):
    with zipfile.ZipFile(copy) as file:
        members = {name: file.read(name) for name in file.namelist()}
    before = members["weights/0000.npy"]
    for array in (before[:-4], before + b"1234", _npy(np.zeros((4, 2), np.float32))):
        write_members(copy, members | {"weights/0000.npy": array})
        with pytest.raises(ValueError, match="copy.afn is damaged .*weights/0000.npy has"):
            load(copy)


def test_rejects_programs_that_call_into_the_process(small, tmp_path):
    """A callback is a pointer into the process that traced it."""
    contents = read_file(small)
    card = contents.card

    def call(weights, frames):
        hidden = jax.ffi.ffi_call("some_callback", jax.ShapeDtypeStruct((), jnp.float32))()
        return {"logits": jnp.zeros((frames.shape[0], 3)) + hidden}

    (batch,) = jax.export.symbolic_shape("batch")
    shape = jax.ShapeDtypeStruct((batch, card.num_frames, *card.size, 3), jnp.uint8)
    shapes = tuple(jax.ShapeDtypeStruct(x.shape, x.dtype) for x in contents.weights)
    allowed = [jax.export.DisabledSafetyCheck.custom_call("some_callback")]
    exported = jax.export.export(jax.jit(call), disabled_checks=allowed)(shapes, shape)
    path = tmp_path / "callback.afn"
    write_file(path, dataclasses.replace(contents, modules={("cpu",): bytes(exported.serialize())}))
    with pytest.raises(
        ValueError, match="callback.afn: its program calls some_callback, .*Do not use"
    ):
        load(path)


def test_rejects_another_platform_and_unreadable_programs(small, tmp_path):
    contents = read_file(small)
    path = tmp_path / "a.afn"
    write_file(path, dataclasses.replace(contents, modules={("cuda", "tpu"): b""}))
    with pytest.raises(ValueError, match="runs on cuda, tpu, and JAX uses cpu here"):
        load(path)
    versions = contents.card.versions | {"jax": "99.0"}
    card = dataclasses.replace(contents.card, versions=versions)
    later = contents.modules[("cpu",)].replace(b"ML\xefR", b"ML\xefS")  # of MLIR
    assert later != contents.modules[("cpu",)]
    for module in (bytes(64), later):
        write_file(
            path, Contents(card, {("cpu",): module}, contents.weights, contents.weight_names)
        )
        with pytest.raises(ValueError, match="written with JAX 99.0 and cannot be read by JAX"):
            load(path)


def test_a_failed_write_keeps_the_old_file(copy, monkeypatch):
    before = copy.read_bytes()

    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("numpy.lib.format.write_array", full)
    with pytest.raises(OSError, match="No space"):
        write_small(copy)
    assert copy.read_bytes() == before and [x.name for x in copy.parent.iterdir()] == ["copy.afn"]
