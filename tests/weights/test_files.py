"""`load_torch_state`: every kind of file gives the same arrays; clear errors for the rest."""

import argparse
import builtins

import numpy as np
import pytest

from afn_jax.weights import load_torch_state

torch = pytest.importorskip("torch")
safetensors_torch = pytest.importorskip("safetensors.torch")


def tensors():
    return {
        "conv.weight": torch.arange(24.0).reshape(2, 3, 4),
        "half.weight": torch.tensor([0.5, -2.0]).bfloat16(),
        "double.weight": torch.tensor([0.1], dtype=torch.float64, requires_grad=True),
        "bn.num_batches_tracked": torch.tensor(7),
    }


def check(state):
    assert set(state) == set(tensors())
    for key, tensor in tensors().items():
        expected = tensor.detach().double().numpy()
        np.testing.assert_array_equal(state[key], expected.astype(state[key].dtype))
        is_counter = key.endswith("tracked")
        assert state[key].dtype == (np.int64 if is_counter else np.float32)


@pytest.mark.parametrize("suffix", [".pth", ".pt"])
@pytest.mark.parametrize("zipped", [True, False])
def test_reads_torch_files(tmp_path, suffix, zipped):
    """PyTorch before 1.6 wrote files that are not zipped, including older ones of torchvision."""
    torch.save(tensors(), tmp_path / f"a{suffix}", _use_new_zipfile_serialization=zipped)
    check(load_torch_state(tmp_path / f"a{suffix}"))


def test_reads_a_training_checkpoint_of_a_parallel_model(tmp_path):
    state = {f"module.{key}": value for key, value in tensors().items()}
    torch.save({"epoch": 3, "state_dict": state}, tmp_path / "a.pth.tar")
    check(load_torch_state(tmp_path / "a.pth.tar"))


def test_reads_safetensors(tmp_path):
    state = {key: value.detach() for key, value in tensors().items()}
    safetensors_torch.save_file(state, tmp_path / "a.safetensors")
    check(load_torch_state(str(tmp_path / "a.safetensors")))


class Runs:
    """A pickle that executes code when it is read."""

    def __reduce__(self):
        return print, ("this must not run",)


def test_rejects_unsuitable_files(tmp_path, capsys):
    with pytest.raises(FileNotFoundError, match="no such file.*missing.pth"):
        load_torch_state(tmp_path / "missing.pth")
    for name in ("a.pth", "a.safetensors"):
        (tmp_path / name).write_bytes(b"not at all what the name says")
        with pytest.raises(ValueError, match=f"{name} is text of 29 bytes.*'not at all"):
            load_torch_state(tmp_path / name)
    torch.save({"model": Runs()}, tmp_path / "code.pth")
    with pytest.raises(ValueError, match="objects of ([a-z_]+[.])?print.*would execute code"):
        load_torch_state(tmp_path / "code.pth")
    assert "must not run" not in capsys.readouterr().out
    torch.save([torch.zeros(1)], tmp_path / "list.pth")
    with pytest.raises(ValueError, match="contains a list"):
        load_torch_state(tmp_path / "list.pth")
    torch.save({"epoch": 3, "optimizer": {"lr": 0.1}}, tmp_path / "mixed.pth")
    with pytest.raises(ValueError, match="no state dictionary of tensors.*epoch"):
        load_torch_state(tmp_path / "mixed.pth")


@pytest.mark.parametrize("wrapper", ["net", "model_state_dict", "ema"])
def test_reads_the_state_in_a_wrapper(tmp_path, wrapper):
    state = {f"_orig_mod.module.{key}": value for key, value in tensors().items()}
    torch.save({"optimizer": {"state": {0: torch.zeros(2)}}, wrapper: state}, tmp_path / "a")
    check(load_torch_state(tmp_path / "a"))


def test_the_content_decides_not_the_extension(tmp_path):
    state = {key: value.detach() for key, value in tensors().items()}
    safetensors_torch.save_file(state, tmp_path / "a.pth")
    torch.save(state, tmp_path / "b.ckpt")
    check(load_torch_state(tmp_path / "a.pth"))
    check(load_torch_state(tmp_path / "b.ckpt"))


def test_reads_shared_tensors_and_plain_values_beside_them(tmp_path):
    """Arguments and NumPy's numbers are common in checkpoints and execute no code."""
    shared = torch.arange(6.0).reshape(2, 3)
    content = {
        "args": argparse.Namespace(lr=0.1),
        "best": np.float64(0.5),
        "model": {"a.weight": shared, "b.weight": shared, "view.weight": shared.t()},
    }
    torch.save(content, tmp_path / "a.pth")
    state = load_torch_state(tmp_path / "a.pth")
    np.testing.assert_array_equal(state["a.weight"], shared)
    np.testing.assert_array_equal(state["b.weight"], shared)
    np.testing.assert_array_equal(state["view.weight"], shared.t())


def test_reads_eight_bit_floats_and_rejects_tensors_that_are_not_dense(tmp_path):
    values = torch.tensor([1.5, -2.0])
    torch.save({"a": values.to(torch.float8_e4m3fn)}, tmp_path / "a.pth")
    np.testing.assert_array_equal(load_torch_state(tmp_path / "a.pth")["a"], [1.5, -2.0])
    safetensors_torch.save_file({"a": values.to(torch.float8_e4m3fn)}, tmp_path / "a.safetensors")
    with pytest.raises(ValueError, match="float8_e4m3fn.*Save them as float32"):
        load_torch_state(tmp_path / "a.safetensors")
    torch.save({"a": torch.eye(3).to_sparse()}, tmp_path / "sparse.pth")
    with pytest.raises(ValueError, match="sparse.pth: a is not a dense tensor"):
        load_torch_state(tmp_path / "sparse.pth")


@pytest.mark.parametrize("package, name", [("torch", "a.pth"), ("safetensors", "a.safetensors")])
def test_names_a_missing_package(tmp_path, monkeypatch, package, name):
    save = torch.save if package == "torch" else safetensors_torch.save_file
    save({"a": torch.zeros(1)}, tmp_path / name)
    real_import = builtins.__import__

    def without(module, *arguments):
        if module.split(".")[0] == package:
            raise ImportError(module)
        return real_import(module, *arguments)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match=f"pip install {package}"):
        load_torch_state(tmp_path / name)
