import pytest

from train.plan.search import MOST_TRIALS, Line, divisors, largest_fitting, round_numbers


def search(candidates, memory, limit, asked):
    """Returns the result of a search and the sizes that it compiled."""
    compiled = []

    def needs(size):
        compiled.append(size)
        return memory(size)

    found = largest_fitting(candidates, Line({asked: memory(asked)}), needs, limit)
    return found, compiled


@pytest.mark.parametrize("limit", [25, 60, 101, 333, 1500, 10_000])
@pytest.mark.parametrize("fixed", [0, 5, 20])
def test_finds_the_largest_with_few_compilations(limit, fixed):
    candidates = round_numbers(512)
    found, compiled = search(candidates, lambda n: fixed + 3 * n, limit, 16)
    right = max(n for n in candidates if fixed + 3 * n <= limit)
    assert found == (right, True) and len(compiled) <= 3


def test_finds_it_where_memory_is_not_linear():
    def memory(n):
        return 10 + 3 * n + (40 if n > 20 else 0)

    found, compiled = search(round_numbers(512), memory, 110, 16)
    assert found[0] == 20 and len(compiled) <= MOST_TRIALS


def test_says_if_nothing_fits_and_if_everything_does():
    assert search([1, 2, 4], lambda n: 100 + n, 50, 4)[0] == (None, True)
    assert search([1, 2, 4], lambda n: n, 50, 4)[0] == (4, True)


def test_a_size_that_does_not_compile_does_not_fit():
    def memory(n):
        return 3.0 * n if n <= 32 else None

    (found, _), _ = search(round_numbers(512), memory, 1e6, 16)
    assert found is not None and found <= 32


def test_candidates():
    assert round_numbers(20) == [1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20]
    assert divisors(12) == [1, 2, 3, 4, 6, 12]
