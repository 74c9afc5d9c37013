"""Starting from a run whose classifier has other classes."""

import pytest
from flax.traverse_util import flatten_dict

from tests.class_folders import forget, swap_labels, train_on, write_classes
from tests.network_shapes import variable_shapes
from train.config import InitConfig
from train.recipes import RECIPES
from train.saved_classes import CLASSIFIER

pytestmark = pytest.mark.usefixtures("small_network")


@pytest.fixture
def root(tmp_path):
    return write_classes(tmp_path / "videos", "jump", "run")


def start(tmp_path, root, name="second", skip=(), **changes):
    init = InitConfig(run=str(tmp_path / "run"), run_skip=skip)
    return train_on(tmp_path / name, root, steps=1, init=init, **changes)


@pytest.mark.slow
def test_a_classifier_of_swapped_classes_is_not_loaded(tmp_path, root):
    train_on(tmp_path / "run", root, steps=2)
    lists = swap_labels(root)
    with pytest.raises(ValueError, match="the classifier of .* has other classes") as error:
        start(tmp_path, root, annotations=lists)
    assert "0  jump" in str(error.value) and r"--init.run-skip '(^|/)classifier/'" in str(
        error.value
    )
    assert "give the classes in the run's order with --data.classes." in str(error.value)
    _, text = start(tmp_path, root, "third", (r"(^|/)classifier/",), annotations=lists)
    assert "the one here stays fresh" in text and "fresh here: classifier (bias, kernel)" in text
    _, text = start(tmp_path, root, "fourth")
    assert "fresh here" not in text and "warning" not in text
    _, text = start(tmp_path, root, "fifth", annotations=lists, classes=("jump", "run"))
    assert "fresh here" not in text


def test_an_order_is_not_advised_for_a_renamed_class(tmp_path, root):
    train_on(tmp_path / "run", root, steps=1)
    (root / "jump").rename(root / "hop")
    with pytest.raises(ValueError, match="the classifier of .* has other classes") as error:
        start(tmp_path, root)
    assert "--init.run-skip" in str(error.value) and "--data.classes" not in str(error.value)


def test_a_classifier_of_an_older_run_cannot_be_checked(tmp_path, root):
    train_on(tmp_path / "run", root, steps=2)
    forget(tmp_path / "run")
    _, text = start(tmp_path, root)
    assert text.count("was made before class names were recorded") == 1


@pytest.mark.slow  # a minute: shapes of every network
def test_only_classifiers_depend_on_the_number_of_classes():
    """In every network of a recipe: the arrays that `init.run` compares."""
    networks = {}
    for stages in RECIPES.values():
        for scales in stages.values():
            config = scales["toy"]
            networks[config.model, config.objective.flow != "none", config.objective.action] = (
                config
            )
    for config in networks.values():
        few, many = (variable_shapes(config, count)["params"] for count in (5, 6))
        few, many = (flatten_dict(shapes, sep="/") for shapes in (few, many))
        for path in few:
            if few[path].shape != many[path].shape:
                assert CLASSIFIER.search(path), (config.model.name, path)
