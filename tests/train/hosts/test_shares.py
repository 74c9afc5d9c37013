"""Shares of an evaluation, with the exchange itself replaced."""

import jax
import pytest

from train.hosts import shares


@pytest.mark.parametrize("count", [1, 2, 3, 8])
@pytest.mark.parametrize("number", [0, 1, 7])
def test_each_item_is_on_one_process_and_results_are_in_their_order(monkeypatch, count, number):
    monkeypatch.setattr(jax, "process_count", lambda: count)
    parts = []
    for index in range(count):
        monkeypatch.setattr(jax, "process_index", lambda index=index: index)
        parts.append([10 * item for item in shares.own_share(range(number))])
    monkeypatch.setattr(shares, "gather", lambda own: parts)
    assert shares.gather_shares(parts[0]) == [10 * item for item in range(number)]
