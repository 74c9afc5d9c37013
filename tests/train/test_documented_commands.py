"""Documented commands parse, and the published weights that they name fit."""

import re
import shlex
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from afn_jax.models import create_model
from afn_jax.weights import load_into
from train import recipes
from train.cli import parse_chain
from train.hosts.options import take_host_options
from train.initialize import weight_parts
from train.network import build_model
from train.plan.options import take_plan_options

ROOT = Path(__file__).resolve().parents[2]
WIDTH = 4  # of both networks; names and fits do not depend on it


def commands(text: str) -> list[str]:
    """Returns the arguments of the lines that are a `python -m train RECIPE ...` command.

    In blocks, it may follow another command, such as srun, also within quotation marks.
    """
    lines = text.replace("\\\n", " ").splitlines()
    found = (re.match(r"(?: {4}.*[ /])?\s*python -m train (?=[a-z])(.*)", line) for line in lines)
    return [match[1].strip().removesuffix('"') for match in found if match]


IN_RECIPES = {
    command: name
    for name, module in vars(recipes).items()
    for command in commands(getattr(module, "__doc__", None) or "")
}
IN_PAGES = {
    command: page.name
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
    for command in commands(page.read_text())
    if page.name != "extending.md"  # its commands use an example recipe, see test_extending.py
}


def arguments(command: str) -> list[str]:
    command = command.replace("$JOB_COMPLETION_INDEX", "0")
    words = [word for word in shlex.split(command, comments=True) if word != "..."]
    return take_host_options(take_plan_options(words)[1])[1]


@pytest.mark.parametrize("command", IN_RECIPES | IN_PAGES)
def test_documented_commands_parse(command):
    assert parse_chain(arguments(command))


def test_the_commands_for_clusters_name_their_data():
    examples = [command for command, page in IN_PAGES.items() if page == "clusters.md"]
    assert len(examples) == 6
    for command in examples:
        (config,) = parse_chain(arguments(command))
        assert config.data.root and config.run_dir and not config.init.run


WITH_WEIGHTS = [command for command in IN_RECIPES | IN_PAGES if "--init.weights" in command]


def test_every_paper_that_starts_from_weights_documents_them():
    told = " ".join(WITH_WEIGHTS)
    for stage in ("spatial", "temporal-c", "warm-up", "mini-kinetics-3d", "hmdb51-scratch"):
        assert f"--stage {stage} " in told


@pytest.mark.slow
@pytest.mark.parametrize("command", WITH_WEIGHTS)
def test_published_weights_fit_as_documented(command):
    """Networks have the paper's depth and few channels; the weights have 1000 classes."""
    (config,) = parse_chain([*arguments(command), "--model.width", str(WIDTH)])
    init = config.init
    published = create_model(init.architecture or config.model.name, num_classes=1000, width=WIDTH)
    frames = jax.ShapeDtypeStruct((1, config.data.num_frames, 64, 64, 3), jnp.float32)

    def shapes(model):
        return jax.eval_shape(lambda x: model.init(jax.random.key(0), x, train=False), frames)

    given = jax.tree.map(lambda array: np.ones(array.shape, np.float32), shapes(published))
    if "spatial" in given["params"]:  # VGG16 is the spatial one of the two streams
        given = {"params": given["params"]["spatial"]}
    model = shapes(build_model(config, 101, axis_name=None))
    _, report = load_into(model, given, **weight_parts(init))
    # Everything is loaded except the classifier.
    left = {name.rpartition("/")[0].rpartition("/")[2] for name in (*report.kept, *report.unused)}
    assert left == {"classifier"}
    assert len(report.loaded) == len(jax.tree.leaves(given)) - 2
