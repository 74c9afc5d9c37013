"""What a person changed in the output folder stays."""

import os

import pytest

from afn_jax.predict.outputs.records import fingerprint, is_unchanged
from afn_jax.predict.settings import Settings
from tests.data.videos import write_video
from tests.predict.outputs.calls import FILM, contents, predict, videos_on_the_page
from tests.predict.stand_ins import brightness_network


def test_outputs_that_a_person_changed_stay(tree):
    predict("w", "out")
    corrected = tree / "out/a.segments.csv"
    corrected.write_text(corrected.read_text().replace("dark", "walk"))
    os.utime(tree / "out/b.csv")  # a copy
    assert predict("w", "out").before == 2
    other = Settings(film=False, top=1)
    outcome = predict("w", "out", other, overwrite=True)
    assert "walk" in corrected.read_text() and not (tree / "out/a.csv").exists()
    assert (tree / "out/a-mp4.json").exists() and (tree / "out/b.json").exists()
    assert videos_on_the_page(outcome.index) == 2 and predict("w", "out", other).before == 2


@pytest.mark.parametrize("overwrite", [False, True])
def test_labels_that_were_filled_in_stay(tree, overwrite):
    path = predict("w", "out", suggest=2).suggested[0]
    path.write_text(path.read_text().replace("mp4,,", "mp4,walk,"))
    before = contents(tree / "out")
    page = tree / "out/suggest.html"
    for name in ("suggest-2.csv", "suggest-2.csv"):
        outcome = predict("w", "out", suggest=2, overwrite=overwrite)
        assert "walk" in path.read_text() and page.read_bytes() == before[page]
        assert outcome.suggested[0].name == name
    assert "walk" not in (tree / "out/suggest-2.csv").read_text()
    path = tree / "out/suggest-2.csv"
    path.write_text(path.read_text() + "x")
    outcome = predict("w", "out", suggest=2)
    assert [path.name for path in outcome.suggested] == ["suggest-3.csv", "suggest-3.html"]
    assert any("suggest-2.csv was filled in or changed, so it stays" in n for n in outcome.notes)


def test_files_of_the_folder_that_a_person_changed_stay(tree):
    (tree / "w/note.txt").write_text("")
    predict("w", "out")
    names = ("index.html", "skipped.csv")
    for name in names:
        (tree / "out" / name).write_text("mine")
    for count, overwrite in enumerate([False, True, True]):
        outcome = predict("w", "out", overwrite=overwrite)
        assert [(tree / "out" / name).read_text() for name in names] == ["mine", "mine"]
        assert (outcome.index.name, outcome.listing.name) == ("index-2.html", "skipped-2.csv")
        stays = [note for note in outcome.notes if "was filled in or changed, so it stays" in note]
        assert len(stays) == 2 * (count == 0)
    (tree / "w/note.txt").unlink()
    (tree / "out/skipped-2.csv").write_text("mine")
    assert predict("w", "out").listing is None
    assert (tree / "out/skipped-2.csv").read_text() == "mine"


@pytest.mark.parametrize("changed", ["a.json", "a.flow_flo/mine.txt", "a.flow_flo/000000.flo"])
def test_outputs_that_a_person_changed_stay_with_overwrite(tree, changed):
    network = brightness_network(flow_starts=(0, 1, 2))
    predict("w", "out", Settings(film=False, flow="flo"), network=network)
    path = tree / "out" / changed
    path.write_text(
        path.read_text().replace("a.mp4", "A.mp4") if path.suffix == ".json" else "mine"
    )
    mine = path.read_bytes()
    other = Settings(film=False, flow="flo", top=1)
    outcome = predict("w", "out", other, network=network, overwrite=True)
    assert path.read_bytes() == mine and (tree / "out/a-mp4.json").exists()
    assert outcome.done == 2 and videos_on_the_page(outcome.index) == 2
    assert (tree / "out/b.flow_flo").exists() and not (tree / "out/b-avi.json").exists()
    outcome = predict("w", "out", other, network=network)
    assert (outcome.before, videos_on_the_page(outcome.index)) == (2, 2)


def test_a_record_that_a_person_changed_is_not_that_of_a_changed_video(tree):
    predict("w/a.mp4", "out")
    record = tree / "out/a.json"
    record.write_text(record.read_text().replace('"notes": []', '"notes": ["mine"]'))
    assert predict("w/a.mp4", "out").before == 1
    write_video(tree / "w/a.mp4", num_frames=12)
    for before in (0, 1):
        outcome = predict("w/a.mp4", "out")
        assert (outcome.before, videos_on_the_page(outcome.index)) == (before, 1)
    assert "mine" in record.read_text() and not (tree / "out/a.csv").exists()


def test_a_large_output_that_a_person_changed_stays(tree):
    predict("w", "out", FILM)
    film = tree / "out/a.mp4"
    record = tree / "out/a.json"
    assert is_unchanged(film, fingerprint(film))
    large = tree / "large"
    large.write_bytes(bytes(2**20 + 1))
    before = fingerprint(large)
    assert is_unchanged(large, before)
    large.write_bytes(b"x" + bytes(2**20))
    os.utime(large, ns=(0, before[1] + 1))
    assert not is_unchanged(large, before)
    assert not is_unchanged(record, None) and not is_unchanged(tree / "gone", before)
