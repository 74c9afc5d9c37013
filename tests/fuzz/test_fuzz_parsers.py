"""Parsers of users' files on damaged input: saved inputs, campaigns, and the campaign itself."""

import random
from pathlib import Path

import pytest

from benchmarks.fuzz_parsers import run_campaign, shares, table
from benchmarks.fuzzing import campaign
from benchmarks.fuzzing.campaign import (
    ERROR,
    RIGHT,
    Input,
    Worker,
    make_input,
    parsers,
    run_input,
    run_parser,
    seeds_of,
)
from benchmarks.fuzzing.mutations import mutate, mutate_json, mutate_text

CORPUS = Path(__file__).parent / "corpus"
NEED = {"weights": ("torch", "safetensors")}
# Their imports alone take seconds.
HEAVY = ("checkpoints", "config.json", "data record", "rows of the study", "weights", "scores")
LIGHT = [name for name in parsers() if not name.startswith(HEAVY)]


def require_packages(name):
    for package in NEED.get(name.partition(":")[0], ()):
        pytest.importorskip(package)


@pytest.mark.parametrize("name", parsers())
def test_seeds_are_read_right(name, tmp_path):
    require_packages(name)
    parser = parsers()[name]
    for number, files in enumerate(seeds_of(parser)):
        assert parser.targets(files)
        target = parser.targets(files)[0]
        (tmp_path / str(number)).mkdir()
        one = Input(number, target, files[target])
        assert run_input(parser, one, tmp_path / str(number)) == RIGHT


@pytest.mark.parametrize("name", parsers())
def test_saved_inputs_end_in_a_documented_error_or_a_right_result(name, tmp_path):
    """Each of them once ended otherwise, or stands for damage that people have met."""
    require_packages(name)
    parser = parsers()[name]
    for path in sorted((CORPUS / parser.folder).glob("*")):
        (tmp_path / path.name).mkdir()
        outcome = run_input(parser, Input.load(path), tmp_path / path.name)
        assert outcome in (RIGHT, ERROR), f"{path.name}: {outcome}"


@pytest.mark.slow
def test_a_short_campaign_finds_nothing():
    tallies = run_campaign(dict.fromkeys(LIGHT, 40), 1, 1, None)
    assert [tally.found for tally in tallies if tally.violations] == []
    assert sum(tally.right for tally in tallies) > 100
    assert sum(tally.errors for tally in tallies) > 100


@pytest.mark.slow
def test_a_longer_campaign_over_all_parsers_finds_nothing(tmp_path):
    pytest.importorskip("torch")
    tallies = run_campaign(shares(list(parsers()), 10_000, 200), 2, 1, tmp_path)
    assert [(tally.name, tally.found) for tally in tallies if tally.violations] == []


SLOW_FAULTS = {"hang": "hang", "loop": "hang", "memory": "memory: "}
FAST_FAULTS = {
    "crash": "crash: the process ended with SIGABRT",
    "exit": "crash: the process ended with 3",
    "wrong result": "wrong result: a label out of range",
    "other error": "KeyError at faulty.py",
}


def check_faults(faults, folder):
    """Each fault is attributed to its input, which is saved, and the campaign goes on."""
    with Worker(("tests.fuzz.faulty",)) as worker:
        for name, found in faults.items():
            tally = run_parser(name, 0, range(3), folder, worker)
            assert (tally.inputs, tally.right, tally.violations) == (3, 1, 2), tally
            assert all(what.startswith(found) for what in tally.found), tally
            for path in (folder / name.replace(" ", "-")).iterdir():
                assert Input.load(path).content != b"sound"
        tally = run_parser("documented", 0, range(9), folder, worker)
        assert (tally.right, tally.errors, tally.violations) == (1, 8, 0)
    assert not (folder / "documented").exists()


def test_a_campaign_finds_crashes_wrong_results_and_other_errors(tmp_path):
    check_faults(FAST_FAULTS, tmp_path)


@pytest.mark.slow
def test_a_campaign_finds_hangs_and_too_much_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(campaign, "LIMIT_S", 4)
    monkeypatch.setattr(campaign, "HANG_S", 8)
    monkeypatch.setattr(campaign, "LIMIT_BYTES", 300 << 20)
    check_faults(SLOW_FAULTS, tmp_path)


def test_an_input_depends_only_on_the_seed_the_parser_and_its_number():
    parser = parsers()["CSV lists"]
    first, again = (make_input(parser, 3, 17) for _ in range(2))
    assert first == again
    others = [make_input(parser, 4, 17), make_input(parser, 3, 18)]
    assert first.content not in [other.content for other in others]


def test_a_saved_input_is_loaded_again(tmp_path):
    one = Input(3, "lists/train.csv", b"a,b")
    (tmp_path / one.name).write_bytes(one.content)
    assert Input.load(tmp_path / one.name) == one


@pytest.mark.parametrize("change", [mutate_text, mutate_json])
def test_mutations_of_text_change_it_and_do_not_fail(change):
    rng, content = random.Random(0), b'{"a": [1, "x"], "b": null}\n\xff'
    results = {change(rng, content) for _ in range(300)}
    assert len(results) > 100 and all(isinstance(result, bytes) for result in results)


def test_mutations_of_bytes_change_them_and_do_not_fail():
    rng, content = random.Random(0), bytes(range(200))
    results = {mutate(rng, content, [b"other"], False) for _ in range(300)}
    assert len(results) > 250 and b"" in [r[:0] for r in results]


def test_the_table_has_a_row_per_parser_and_a_sum():
    tallies = [campaign.Tally(".flo", 10, 4, 6, 0, 1.5, 2.5), campaign.Tally("videos", 5, 5)]
    lines = table(tallies).splitlines()
    assert lines[2].startswith("| .flo | read_flow | ValueError | 10 | 4 | 6 | 0 | 2 | 2 |")
    assert lines[-1].startswith("| all | | | 15 | 9 | 6 | 0 |")
    assert shares([".flo", "videos"], 2100, 10) == {".flo": 2000, "videos": 100}
