"""Loads a network file as a function of frames. Needs only JAX and NumPy."""

import os
import re
import warnings
from collections.abc import Callable
from typing import Any

import jax
import jax.export
import jaxlib
import numpy as np

from afn_jax.export.card import Card
from afn_jax.export.file import EXPORT_AGAIN, Contents, read_file
from afn_jax.export.network import Outputs, check_frames

# A program may call these in the process that runs it. Checks of shapes are all that exports need.
_HARMLESS_CALLS = {"shape_assertion"}
_WRONG_ON_CPU = ("0.10.2",)  # releases of jaxlib with jax issue 39103


class CompiledNetwork:
    """A `Network` that XLA compiles, once per batch size.

    Attributes:
        card: what it takes and gives.
        name: path of its file or run folder.
    """

    card: Card
    name: str

    def __init__(
        self,
        card: Card,
        name: str,
        function: Callable[[Any, Any], dict[str, Any]],
        weights: Any,
        *,
        flow: bool = False,
        features: bool = False,
    ):
        """Compiles nothing yet.

        Args:
            card: of the network.
            name: in messages.
            function: maps weights and uint8 frames to "logits", "flows" and "features".
            weights: first argument of the function; copied to the device now.
            flow: compute the flow.
            features: compute the features.
        """
        self.card, self.name = card, name
        wanted = ["logits"] + ["flows"] * flow + ["features"] * features
        self._weights = jax.device_put(weights)
        # XLA removes what the outputs left out would need.
        self._call = jax.jit(
            lambda weights, frames: {
                name: value for name, value in function(weights, frames).items() if name in wanted
            }
        )

    def __call__(self, frames: Any) -> Outputs:
        """Predicts a batch of windows, see `afn_jax.export.network.Network`."""
        check_frames(frames, self.card, self.name)
        return Outputs(**self._call(self._weights, frames))


def load(
    path: str | os.PathLike[str], *, flow: bool = False, features: bool = False
) -> CompiledNetwork:
    """Loads a network file.

    Args:
        path: a file that `python -m eval export` wrote.
        flow: compute the flow too.
        features: compute the features too.

    Raises:
        ValueError: not a network file, a damaged or too new one, or one that does not run on this
            platform.
        OSError: the file is missing or cannot be read.

    Warns:
        RuntimeWarning: the installed jaxlib computes wrong sums on this platform.
    """
    contents = read_file(path)
    exported = _program(contents, str(path))
    if jaxlib.__version__ in _WRONG_ON_CPU and jax.export.default_export_platform() == "cpu":
        warnings.warn(
            f"jaxlib {jaxlib.__version__} computes wrong sums on the CPU (jax issue 39103), so "
            f"predictions of {path} may be wrong. Install another release: pip install "
            f"'jax!={jaxlib.__version__}' 'jaxlib!={jaxlib.__version__}'",
            RuntimeWarning,
            stacklevel=2,
        )
    return CompiledNetwork(
        contents.card, str(path), exported.call, contents.weights, flow=flow, features=features
    )


def _program(contents: Contents, path: str) -> jax.export.Exported:
    platform = jax.export.default_export_platform()
    modules = [data for names, data in contents.modules.items() if platform in names]
    if not modules:
        has = sorted(sum(contents.modules, ()))
        fix = "Set JAX_PLATFORMS=cpu." if "cpu" in has else EXPORT_AGAIN
        raise ValueError(f"{path} runs on {', '.join(has)}, and JAX uses {platform} here. {fix}")
    try:
        exported = jax.export.deserialize(bytearray(modules[0]))
        text = exported.mlir_module()
    except Exception as error:  # JAX raises many types
        made, here = contents.card.versions.get("jax", "an unknown version"), jax.__version__
        raise ValueError(
            f"{path} was written with JAX {made} and cannot be read by JAX {here}. Use the newer "
            f"of both versions, or export it again: {EXPORT_AGAIN.partition(': ')[2]}"
        ) from error
    _check(exported, text, contents, path)
    return exported


def _check(exported: jax.export.Exported, text: str, contents: Contents, path: str) -> None:
    """Raises ValueError unless a program fits the weights and the card, and calls nothing else."""
    calls = re.findall(r"custom_call @\"?([^\s\"(]+)", text)
    calls += ["functions of unknown names"] * (len(calls) != text.count("custom_call"))
    called = set(calls)
    if called - _HARMLESS_CALLS:
        raise ValueError(
            f"{path}: its program calls {', '.join(sorted(called - _HARMLESS_CALLS))}, which no "
            "export of ours does. Do not use this file."
        )
    expected = jax.tree.structure(((contents.weights, 0), {}))
    *weights, frames = exported.in_avals
    card = contents.card
    fits = (
        exported.in_tree == expected
        and [(x.shape, x.dtype) for x in weights] == [(x.shape, x.dtype) for x in contents.weights]
        and (frames.shape[1:], frames.dtype) == ((card.num_frames, *card.size, 3), np.uint8)
        and _sizes(exported) == (len(card.class_names), card.feature_size, len(card.flow_starts))
    )
    if not fits:
        raise ValueError(
            f"{path} is damaged: its program does not fit its card and weights. {EXPORT_AGAIN}"
        )


def _sizes(exported: jax.export.Exported) -> tuple[int, int, int]:
    """Returns the numbers of classes, of features and of flows per map of a program."""
    outputs = jax.tree.unflatten(exported.out_tree, exported.out_avals)
    if not isinstance(outputs, dict) or set(outputs) - {"logits", "flows", "features"}:
        return -1, -1, -1
    logits, features = (outputs.get(name) for name in ("logits", "features"))
    flows = outputs.get("flows")
    return (
        0 if logits is None else logits.shape[-1],
        0 if features is None else features.shape[-1],
        0 if not flows else flows[0].shape[1],
    )
