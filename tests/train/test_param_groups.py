"""Parameter groups: the first match counts, each parameter needs one, frozen ones stay the same."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from train.config import OptimConfig
from train.optim import create_optimizer
from train.param_groups import describe_groups, group_factors, is_frozen

PARAMS = {
    "motionnet": {"conv1": {"kernel": jnp.ones((2, 3)), "bias": jnp.ones(3)}},
    "temporal": {"fc": {"kernel": jnp.ones((3, 1)), "bias": jnp.ones(1)}},
}
GROUPS = ("^motionnet/=0.25", "bias$=2", ".*=1")


def test_the_first_group_that_matches_counts():
    assert group_factors(GROUPS, PARAMS) == {
        "motionnet": {"conv1": {"kernel": 0.25, "bias": 0.25}},
        "temporal": {"fc": {"kernel": 1.0, "bias": 2.0}},
    }
    assert set(jax.tree.leaves(group_factors((), PARAMS))) == {1.0}


def test_describes_what_each_group_matched():
    assert describe_groups((*GROUPS[:2], "nothing=3", ".*=1"), PARAMS).splitlines() == [
        "  ^motionnet/=0.25  2 arrays, 9 parameters: motionnet/conv1/bias, ...",
        "  bias$=2  1 arrays, 1 parameters: temporal/fc/bias",
        "  nothing=3  0 arrays, 0 parameters",
        "  .*=1  1 arrays, 3 parameters: temporal/fc/kernel",
    ]


def test_rejects_a_parameter_in_no_group():
    config = OptimConfig(groups=("^motionnet/=1", "bias$=1"))
    with pytest.raises(
        ValueError, match=r"1 parameters are in no group, first: temporal/fc/kernel"
    ):
        create_optimizer(config, 1).init(PARAMS)


@pytest.mark.parametrize("group", ["encoder", "encoder=fast", "encoder=-1", "(=1", "x=nan"])
def test_rejects_malformed_groups(group):
    with pytest.raises(ValueError, match="optim.groups: got .*REGEX=FACTOR"):
        group_factors((group,), PARAMS)


def test_frozen():
    frozen = is_frozen(("^motionnet/=0", "bias$=2", ".*=1"))
    assert frozen("motionnet/conv1/kernel") and not frozen("temporal/fc/bias")
    assert not is_frozen(())("motionnet/conv1/kernel")


def test_factors_scale_the_step_and_zero_freezes_despite_decay():
    config = OptimConfig(
        optimizer="sgd",
        momentum=0,
        learning_rate=0.1,
        weight_decay=0.5,
        groups=("^motionnet/=0", "bias$=2", ".*=1"),
    )
    optimizer = create_optimizer(config, 1)
    gradients = jax.tree.map(lambda p: 3 * jnp.ones_like(p), PARAMS)
    updates, _ = optimizer.update(gradients, optimizer.init(PARAMS), PARAMS)
    assert not np.any(updates["motionnet"]["conv1"]["kernel"])
    np.testing.assert_allclose(updates["temporal"]["fc"]["kernel"], -0.1 * (3 + 0.5 * 1), rtol=1e-6)
    np.testing.assert_allclose(updates["temporal"]["fc"]["bias"], -0.1 * 2 * 3, rtol=1e-6)
