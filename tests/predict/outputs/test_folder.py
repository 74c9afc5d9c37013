"""What happens to files that lie in the output folder already."""

import csv
import json
import os

import pytest

from afn_jax.predict.outputs.ledger import planned_endings
from afn_jax.predict.settings import Settings
from tests.data.videos import write_video
from tests.predict.outputs.calls import (
    FILM,
    PLAIN,
    contents,
    predict,
    unchanged,
    videos_on_the_page,
)
from tests.predict.stand_ins import brightness_network


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("out", ["w", ".", "w/../w"])
def test_a_video_is_not_replaced_by_its_film(tree, out, overwrite):
    before = contents(tree)
    for done_before in (0, 3):
        outcome = predict([".", "w/a.mp4"], out, FILM, overwrite=overwrite)
        assert (outcome.done, outcome.before) == (3, done_before)
        assert not unchanged(before)
        assert not outcome.skipped and videos_on_the_page(outcome.index) == 3
    films = {json.loads(p.read_text())["files"]["film"] for p in (tree / out).glob("*[!t].json")}
    assert len(films) == 3 and all((tree / out / film).is_file() for film in films)


def test_a_video_that_is_linked_into_the_folder_is_not_replaced(tree):
    (tree / "out").mkdir()
    os.symlink(tree / "w/a.mp4", tree / "out/a.mp4")
    outcome = predict("w/a.mp4", "out", FILM)
    assert os.path.islink("out/a.mp4") and os.path.isfile("out/a-mp4.mp4")
    assert "outputs of w/a.mp4 are named a-mp4, because out has other files" in outcome.notes[0]


@pytest.mark.parametrize("overwrite", [False, True])
def test_files_of_others_are_not_replaced(tree, overwrite):
    (tree / "out").mkdir()
    note = (
        "the outputs of w/a.mp4 are named a-mp4, because out has other files named a.*, and 1 more"
    )
    names = ["a.csv", "b.json", "index.html", "skipped.csv", "suggest.csv", "suggest.html"]
    for name in [*names, ".x.part"]:
        (tree / "out" / name).write_text("mine")
    (tree / "w" / "note.txt").write_text("")
    before = contents(tree)
    for done_before in (0, 2):
        outcome = predict("w", "out", suggest=2, overwrite=overwrite)
        assert (outcome.done, outcome.before) == (2, done_before)
        assert not unchanged(before)
        assert outcome.index.name == "index-2.html" and videos_on_the_page(outcome.index) == 2
        assert outcome.listing.name == "skipped-2.csv"
        assert [path.name for path in outcome.suggested] == ["suggest-2.csv", "suggest-2.html"]
        assert any(text.startswith(note) for text in outcome.notes) == (done_before == 0)
    (tree / "w" / "note.txt").unlink()
    predict("w", "out", suggest=2)
    assert not os.path.exists("out/skipped-2.csv") and os.path.exists("out/skipped.csv")


def test_a_foreign_state_is_refused_even_with_overwrite(tree):
    (tree / "out").mkdir()
    (tree / "out/predict.json").write_text("{}")
    network = brightness_network()
    with pytest.raises(ValueError, match="predict.json is damaged or of another program.*Move it"):
        predict("w", "out", network=network, overwrite=True)
    assert network.batches == [] and (tree / "out/predict.json").read_text() == "{}"


def test_videos_of_one_name_in_several_calls_are_all_kept(tree):
    predict("w/a.mp4", "out")
    first = contents(tree / "out")
    del first[tree / "out/index.html"], first[tree / "out/predict.json"]
    for k, videos in enumerate(["v/a.mp4", "w/b.avi"]):
        outcome = predict(videos, "out")
        assert not unchanged(first)
        assert (outcome.done, videos_on_the_page(outcome.index)) == (1, k + 2)
    sources = {json.loads(p.read_text())["video"] for p in (tree / "out").glob("*[!t].json")}
    assert sources == {"w/a.mp4", "v/a.mp4", "w/b.avi"}
    outcome = predict(["v/a.mp4", "w"], "out")
    assert (outcome.done, outcome.before) == (3, 3)


def test_outputs_of_other_settings_are_not_on_the_page(tree):
    predict("w", "out")
    outcome = predict("w/a.mp4", "out", Settings(film=False, top=1), overwrite=True)
    assert videos_on_the_page(outcome.index) == 1
    outcome = predict("w", "out", Settings(film=False, top=1))
    assert (outcome.done, outcome.before) == (2, 1)
    assert len(list((tree / "out").glob("*.csv"))) == 4


def test_a_file_that_appears_during_the_work_stays(tree):
    network = brightness_network()
    function = network.function

    def write(frames):
        (tree / "out/b.csv").write_text("mine")
        return function(frames)

    network.function = write
    outcome = predict("w", "out", network=network)
    assert (tree / "out/b.csv").read_text() == "mine" and outcome.done == 1
    assert outcome.skipped[0].reason.startswith("another program wrote out/b.csv meanwhile")
    outcome = predict("w", "out")
    assert (outcome.done, outcome.before) == (2, 1) and (tree / "out/b-avi.csv").exists()


@pytest.mark.parametrize("spelling", ["./w", "{}/w", "v/../w", "link"])
def test_another_spelling_of_a_path_predicts_nothing_again(tree, spelling):
    os.symlink(tree / "w", tree / "link")
    predict("w", "out")
    network = brightness_network()
    outcome = predict(spelling.format(tree), "out", network=network)
    assert (outcome.done, outcome.before, network.batches) == (2, 2, [])


def test_a_moved_video_is_predicted_again_under_its_name(tree):
    predict("w/a.mp4", "out")
    os.rename("w/a.mp4", "v/moved.mp4")
    outcome = predict("v/moved.mp4", "out")
    assert (outcome.before, videos_on_the_page(outcome.index)) == (0, 1)
    assert json.loads((tree / "out/a.json").read_text())["video"] == "v/moved.mp4"


def test_skipped_files_are_counted_alike_everywhere(tree):
    for name in ("readme.txt", "pic.jpg", "pic2.jpg", "sub/note.txt"):
        (tree / "w" / name).parent.mkdir(exist_ok=True)
        (tree / "w" / name).write_text("x")
    (tree / "w/broken.mp4").write_bytes(bytes(1000))
    outcome = predict(["w", "gone.mp4"], "w/out")
    with open(outcome.listing, newline="") as file:
        rows = [row["path"] for row in csv.DictReader(file)]
    assert len(rows) == len(outcome.skipped) == 6 and "skipped=6 " in outcome.line()
    assert "<dt>skipped files</dt><dd>6</dd>" in outcome.index.read_text()
    assert [path for path in rows if not os.path.exists(path)] == ["gone.mp4"]
    # What the first call wrote is not counted by the second.
    for out in ("w/out", "out2"):
        assert len(predict(["w", "gone.mp4"], out, Settings(film=False)).skipped) == 6


def test_an_output_folder_is_not_a_folder_of_frames(tree):
    """Its pictures may be numbered: clip1.jpg, clip2.jpg."""
    for k in (1, 2):
        os.rename(("w/a.mp4", "w/b.avi")[k - 1], f"w/clip{k}.avi")
    predict("w", "w/out")
    assert {"clip1.jpg", "clip2.jpg"} <= {path.name for path in (tree / "w/out").iterdir()}
    outcome = predict("w", "out2")
    assert (outcome.done, outcome.skipped) == (2, ())
    with pytest.raises(ValueError, match="no video in w/out .the folder is empty"):
        predict("w/out", "out3")


def test_suggestions_resume(tree):
    first = predict("w", "out", suggest=2)
    listed = first.suggested[0].read_text()
    network = brightness_network()
    again = predict("w", "out", suggest=2, network=network)
    assert (again.done, again.before, network.batches) == (2, 2, [])
    assert again.suggested[0].read_text() == listed
    assert [path.name for path in again.suggested] == ["suggest.csv", "suggest.html"]
    assert again.notes == ()


def test_videos_without_windows_to_suggest_are_predicted_again_with_a_note(tree):
    predict("w", "out")
    outcome = predict("w", "out", suggest=2)
    assert (outcome.done, outcome.before) == (2, 0)
    assert any("2 videos were predicted again, because the windows" in n for n in outcome.notes)


@pytest.mark.parametrize(
    "settings",
    [
        PLAIN,
        FILM,
        Settings(film=False, features=True, flow="npz"),
        Settings(film=False, flow="flo"),
    ],
)
def test_all_files_of_a_video_are_planned(tree, settings):
    network = brightness_network(flow_starts=(0, 1, 2))
    predict("w/a.mp4", "out", settings, suggest=1, network=network)
    record = json.loads((tree / "out/a.json").read_text())
    endings = planned_endings(settings, network.card, suggest=True)
    assert {"a" + ending for ending in endings} == {"a.json", *record["files"].values()}


def test_a_record_cannot_make_files_of_others_disappear(tree):
    predict("w/a.mp4", "out")
    (tree / "a.txt").write_text("mine")
    (tree / "out/other").write_text("mine")
    record = json.loads((tree / "out/a.json").read_text())
    record["files"] |= {"x": "../a.txt", "y": "other", "z": 3}
    (tree / "out/a.json").write_text(json.dumps(record, indent=1))
    predict("w/a.mp4", "out", Settings(film=False, top=1), overwrite=True)
    assert (tree / "a.txt").exists() and (tree / "out/other").exists()


def test_a_file_that_appears_during_the_prediction_of_its_video_stays(tree):
    """The outputs are checked again when they are moved to their place."""
    network = brightness_network(flow_starts=(0, 1, 2))
    function = network.function

    def write(frames):
        (tree / "out/a.segments.csv").write_text("mine")
        return function(frames)

    network.function = write
    settings = Settings(film=False, flow="flo")
    outcome = predict("w/a.mp4", "out", settings, network=network)
    assert outcome.skipped[0].reason.startswith("another program wrote out/a.segments.csv mean")
    assert {p.name for p in (tree / "out").iterdir() if p.name.startswith((".", "a."))} == {
        "a.segments.csv"
    }
    network.function = function
    assert predict("w/a.mp4", "out", settings, network=network).done == 1
    assert (tree / "out/a.segments.csv").read_text() == "mine"
    assert (tree / "out/a-mp4.json").exists()


def test_a_video_in_the_place_of_a_film_is_a_video(tree):
    predict("v", "out", FILM)
    write_video(tree / "out/a.mp4", num_frames=9)
    mine = (tree / "out/a.mp4").read_bytes()
    outcome = predict(["v", "out"], "out", FILM)
    assert (outcome.done, outcome.before, outcome.skipped) == (2, 0, ())
    assert (tree / "out/a.mp4").read_bytes() == mine
    assert 'src="a.mp4"' not in outcome.index.read_text()
    assert predict(["v", "out"], "out", FILM).before == 2


def test_the_note_on_a_name_names_what_is_in_its_way(tree):
    """The names of several videos depend on each other."""
    for name in ("x/same.mp4", "y/same.mp4", "x/same.avi"):
        write_video(tree / name, num_frames=6)
    predict("x/same.avi", "out")
    assert predict(["x", "y"], "out").notes == ()
    assert {p.stem for p in (tree / "out").glob("*.json")} >= {"same", "y-same", "x-same"}
    (tree / "out/x-same.csv").write_text("changed")
    outcome = predict(["x", "y"], "out", Settings(film=False, top=1), overwrite=True)
    assert outcome.notes == (
        "the outputs of x/same.mp4 are named x-same-2, because out has other files named x-same.*",
    )


def test_a_video_without_outputs_has_no_note_on_their_name(tree):
    (tree / "out").mkdir()
    (tree / "w/a.mp4").write_text("no video")
    (tree / "out/a.csv").write_text("mine")
    outcome = predict("w", "out")
    assert (outcome.done, len(outcome.skipped), outcome.notes) == (1, 1, ())


def test_all_skipped_files_are_listed_if_there_is_no_video(tree):
    (tree / "texts").mkdir()
    for k in range(5):
        (tree / f"texts/{k}.txt").write_text("x")
    with pytest.raises(ValueError, match="no video in texts.*out/skipped.csv lists all files"):
        predict("texts", "out")
    with open(tree / "out/skipped.csv", newline="") as file:
        assert [row["path"] for row in csv.DictReader(file)] == [f"texts/{k}.txt" for k in range(5)]
    # A folder without outputs of videos is for any settings.
    assert predict("w", "out", Settings(film=False, top=1)).done == 2


@pytest.mark.parametrize("overwrite", [False, True])
def test_earlier_outputs_stay_if_the_video_can_no_longer_be_read(tree, overwrite):
    predict("w", "out")
    before = {p: data for p, data in contents(tree / "out").items() if p.name.startswith("a.")}
    (tree / "w/a.mp4").write_text("half a copy")
    outcome = predict("w", "out", overwrite=overwrite)
    assert [item.path for item in outcome.skipped] == ["w/a.mp4"]
    assert len(before) == 4 and not unchanged(before)
    write_video(tree / "w/a.mp4", num_frames=12)
    outcome = predict("w", "out", overwrite=overwrite)
    assert (outcome.done, outcome.before) == (2, 1) and unchanged(before)
    assert {path.stem for path in (tree / "out").glob("*.json")} == {"a", "b", "predict"}


def test_earlier_outputs_stay_if_the_work_is_interrupted(tree):
    predict("w", "out")
    before = {p: data for p, data in contents(tree / "out").items() if p.name.startswith("b.")}
    network = brightness_network()
    function = network.function

    def interrupt(frames):
        if network.batches and (tree / "out/a.json").read_bytes() != record:
            raise KeyboardInterrupt
        return function(frames)

    record = (tree / "out/a.json").read_bytes()
    network.function = interrupt
    other = Settings(film=False, top=1)
    outcome = predict("w", "out", other, network=network, overwrite=True)
    assert outcome.interrupted and outcome.done == 1
    assert len(before) == 4 and not unchanged(before)
    outcome = predict("w", "out", other)
    assert (outcome.done, outcome.before) == (2, 1) and unchanged(before)
