"""`fit_names`: names are found after any prefix, if exactly one fits; renames; near names."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from afn_jax.models.baselines import FrameResNet
from afn_jax.weights import ARCHITECTURES, initialize_from, parse_renames, rename_names
from afn_jax.weights.names import fit_names
from afn_jax.weights.torchvision import torch_layers

torch = pytest.importorskip("torch")
from tests.weights.torch_networks import make  # noqa: E402, needs torch

NAMES = list(torch_layers("resnet18"))
PREFIXES = ("module.", "model.", "backbone.", "_orig_mod.", "encoder.", "net.")


def tensors(prefix="", architecture="resnet18"):
    return {prefix + name: np.zeros(i) for i, name in enumerate(torch_layers(architecture))}


def without_head(prefix=""):
    return {k: v for k, v in tensors(prefix).items() if not k.startswith(f"{prefix}fc.")}


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_names_that_fit_are_left_alone(architecture):
    given = tensors(architecture=architecture)
    counters = {"layer1.0.bn1.num_batches_tracked": 0} if "18" in architecture else {}
    fitted = fit_names(given | counters, architecture)
    assert fitted.state == given and fitted.notes == ()


@pytest.mark.parametrize("prefix", ["".join(pair) for pair in itertools.permutations(PREFIXES, 2)])
def test_any_prefix_is_found_and_reported(prefix):
    wrapped = {f"state_dict.{prefix}{name}": value for name, value in tensors().items()}
    fitted = fit_names(wrapped, "resnet18")
    assert list(fitted.state) == NAMES
    assert fitted.notes == (f"removed 'state_dict.{prefix}' from the names of 102 arrays",)


def test_loads_a_training_checkpoint_with_a_classifier_of_another_name(tmp_path):
    """As MMAction writes it, with the state of the optimizer beside it."""
    network = make("resnet18", 4, 7)
    state = {f"backbone.{k}": v for k, v in network.state_dict().items()}
    for leaf in ("weight", "bias"):
        state[f"cls_head.fc_cls.{leaf}"] = state.pop(f"backbone.fc.{leaf}")
    optimizer = {"state": {0: {"momentum": torch.zeros(3)}}, "param_groups": [{"lr": 0.1}]}
    content = {"meta": {"epoch": 3}, "state_dict": state, "optimizer": optimizer}
    torch.save(content, tmp_path / "a.pth")

    clip = jax.ShapeDtypeStruct((1, 1, 32, 32, 3), jnp.float32)
    model = FrameResNet(7, depth=18, width=4)
    shapes = jax.eval_shape(lambda x: model.init(jax.random.key(0), x, train=False), clip)

    def load(**options):
        return initialize_from(shapes, tmp_path / "a.pth", "resnet18", **options)

    rule = "cls_head.fc_cls=state_dict.backbone.fc"
    message = f"(?s)missing: fc.weight, fc.bias.*--init.rename state_dict.{rule}\n.*skip classifier"
    with pytest.raises(ValueError, match=message):
        load()

    for new in ("fc", "state_dict.backbone.fc", "backbone.fc"):
        old = "state_dict.cls_head.fc_cls" if new != "backbone.fc" else "cls_head.fc_cls"
        variables, report = load(rename={old: new})
        np.testing.assert_array_equal(
            variables["params"]["classifier"]["kernel"], network.fc.weight.detach().numpy().T
        )
        assert "renamed 2 of" in str(report) and "left out of the file: optimizer" in str(report)

    variables, report = load(skip=("classifier",))
    assert report.kept == ("params/classifier/bias", "params/classifier/kernel")
    assert "left out of the file: state_dict.cls_head.fc_cls, optimizer.state.0" in str(report)
    assert "missing from the file, skipped: fc" in str(report)
    stem = variables["params"]["encoder"]["conv1"]["kernel"]
    np.testing.assert_array_equal(stem, network.conv1.weight.detach().numpy().transpose(2, 3, 1, 0))


def test_a_head_of_another_name_is_left_out_if_the_classifier_is_skipped():
    given = without_head() | {"head.fc.weight": np.zeros(2)}
    with pytest.raises(ValueError, match="unknown: head.fc.weight(.|\n)*rename head.fc=fc"):
        fit_names(given, "resnet18")
    fitted = fit_names(given, "resnet18", skip=("classifier",))
    assert "left out of the file: head.fc (1 arrays)" in fitted.notes
    assert len(fitted.state) == 100
    # Only classifiers: an array that the network lacks means a different network.
    with pytest.raises(ValueError, match="unknown: layer1.0.se.conv.weight"):
        fit_names(given | {"layer1.0.se.conv.weight": 0}, "resnet18", skip=("classifier",))
    # Only classifiers may be missing.
    del given["conv1.weight"]
    with pytest.raises(ValueError, match="missing: conv1.weight\n"):
        fit_names(given, "resnet18", skip=("classifier",))


def test_two_prefixes_that_fit_are_refused_by_name():
    given = tensors("model.") | tensors("model_ema.module.")
    with pytest.raises(ValueError, match="2 times, after 'model.' and 'model_ema.module.'") as e:
        fit_names(given, "resnet18")
    assert "--init.ignore" in str(e.value)
    fitted = fit_names(given, "resnet18", ignore=("model_ema.",))
    assert "removed 'model.'" in fitted.notes[0]
    # Names that fit as they are come first; the others are then unknown.
    with pytest.raises(ValueError, match="unknown: teacher.conv1.weight"):
        fit_names(tensors() | tensors("teacher."), "resnet18")
    with pytest.raises(ValueError, match="ignore: no name of the file begins with 'teachers.'"):
        fit_names(tensors() | tensors("teacher."), "resnet18", ignore=("teachers.",))


def test_a_prefix_of_few_names_is_not_removed():
    with pytest.raises(ValueError, match="(?s)missing: stem.0.weight.*unknown: a.conv1.weight"):
        fit_names(tensors("a."), "r3d_18")


def test_renames_whole_components():
    names = ["backbone.conv1.conv.weight", "backbone.conv1.bn.bias", "xconv1.conv.weight"]
    assert rename_names(names, {"conv1.conv": "conv1", "conv1.bn": "bn1", "backbone": ""}) == {
        "backbone.conv1.conv.weight": "conv1.weight",
        "backbone.conv1.bn.bias": "bn1.bias",
        "xconv1.conv.weight": "xconv1.conv.weight",
    }
    assert rename_names(["0.weight"], {"": "features."}) == {"0.weight": "features.0.weight"}
    # Every occurrence; dots around the parts do not matter.
    assert rename_names(["a.b.a.w"], {"a.": ".c"}) == {"a.b.a.w": "c.b.c.w"}
    # One rule after the other.
    assert rename_names(["a.w"], {"a": "b", "b": "c.d"}) == {"a.w": "c.d.w"}


def test_rejects_renames_without_effect():
    with pytest.raises(ValueError, match="rename: 'cls_head.fc' is in none.*Did you mean cls_head"):
        rename_names(["cls_head.fc_cls.weight"], {"cls_head.fc": "fc"})
    with pytest.raises(ValueError, match="a.w and b.w both become 'c.w'"):
        rename_names(["a.w", "b.w"], {"a": "c", "b": "c"})
    assert parse_renames(("a=b", "c.=", "=d")) == {"a": "b", "c.": "", "": "d"}
    for rules, message in (
        (("ab",), "init.rename: got 'ab'; allowed: OLD=NEW"),
        (("a=b", "a=c"), "two rules for 'a'"),
    ):
        with pytest.raises(ValueError, match=message):
            parse_renames(rules, "init.rename")


def test_an_encoder_alone_fits_if_the_classifier_is_skipped():
    fitted = fit_names(without_head("module.encoder_q."), "resnet18", skip=("classifier",))
    assert len(fitted.state) == 100
    with pytest.raises(ValueError, match="--init.skip classifier"):
        fit_names(without_head("module.encoder_q."), "resnet18")
