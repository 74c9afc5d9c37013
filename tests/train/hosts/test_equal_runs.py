"""A run on two processes against the same run on one, and resuming with another number."""

import numpy as np
import pytest

from tests.train.hosts.processes import assert_same_arrays, losses, saved_steps, train_in


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_two_processes_equal_one_with_the_same_devices_and_resume_as_one(tmp_path):
    """Dropout, augmentation, accumulation, a moving average and frozen groups included."""
    options = (
        *("--batch-size", "8", "--test-every", "4", "--test-batches", "1"),
        *("--optim.accumulate", "2", "--optim.ema-decay", "0.9", "--optim.clip-norm", "1"),
        *("--optim.groups", "norm=0", "flow=0.5", ".*=1", "--optim.schedule", "constant"),
    )
    one, two = tmp_path / "one", tmp_path / "two"
    assert "; 4 x cpu; fresh start" in train_in(one, *options, "--steps", "6", devices=4)
    text = train_in(two, *options, count=2, devices=2)
    assert "; 2 processes x 2 x cpu; fresh start" in text and "random draws" not in text
    assert text.count("evaluate it with") == 1
    assert not list(two.glob("shared-*"))
    assert_same_arrays(two, one, 4, 1e-6)
    np.testing.assert_allclose(losses(two, "test"), losses(one, "test")[:1], rtol=1e-5)

    text = train_in(two, *options, "--steps", "6", devices=4)
    assert "resumed at step 4" in text and "random draws" not in text
    assert_same_arrays(two, one, 6, 1e-6)
    np.testing.assert_allclose(losses(two), losses(one), rtol=1e-5)
    assert len(losses(one)) == 6

    text = train_in(two, *options, "--steps", "7", devices=2)
    assert "random draws differ from here on: the checkpoint is from 4 devices" in text
    assert saved_steps(two) == [6, 7]
