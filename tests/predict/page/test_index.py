"""The page over all videos, parsed again."""

import os
from html.parser import HTMLParser
from urllib.parse import unquote_to_bytes, urlsplit

import numpy as np
import pytest

from afn_jax.data.source import Skipped
from afn_jax.predict.page.index import write_index
from afn_jax.predict.page.strip import Classes, exact_clock, strip_svg
from afn_jax.predict.result import VideoResult
from afn_jax.predict.segments import Segment
from afn_jax.viz import class_colors, css_color

NAMES = ("walk", "<b>run</b> & 'jump'", "")
VOID = {"meta", "img", "rect", "br", "link"}


class Page(HTMLParser):
    """Tags with their attributes, and all text; fails if a tag is not closed."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.text, self._open = [], "", []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in VOID or tag == "rect":
            self._open.append(tag)

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        self.text += data

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


def result(number, folder=None, name="clip", **changes):
    files = {kind: f"{name}{number}.{kind}" for kind in ("csv", "json", "flow")}
    files |= {"film": f"{name}{number}.mp4", "thumbnails": f"{name}{number}.jpg"}
    if folder is not None:
        for file in files.values():
            (folder / file).write_bytes(b"x")
    values = dict(
        source=f"videos/{name}{number}.avi",
        name=f"{name}{number}",
        duration=10.0,
        fps=25.0,
        num_frames=250,
        strip=np.array([0, 0, 1, -1, 2]),
        strip_score=np.ones(5),
        top=((1, 0.5), (0, np.nan)),
        segments=(Segment(1, 2.5, 61.3, 0.75), Segment(0, 3.0, 4.0, 0.5)),
        files=files,
        thumbnails=(np.full((12, 16, 3), 200, np.uint8),) * 2,
        notes=("Two <video> streams.",),
    )
    return VideoResult(**values | changes)


def page(path, results, skipped=(), names=NAMES, network="a.afn", command="afn-jax predict"):
    write_index(path, results, skipped, names, network, command)
    return Page(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("count", [1, 5, 70])
def test_every_link_resolves(tmp_path, count):
    name = os.fsdecode(b"sub/caf\xe9 #1?&<i>%20\"'")  # any bytes but those of the system
    (tmp_path / "sub").mkdir()
    results = [result(k, tmp_path, name) for k in range(count)]
    parsed = page(tmp_path / "index.html", results)
    anchors = {attributes["id"] for _, attributes in parsed.tags if "id" in attributes}
    links = [a["href"] for a in parsed.all("a")] + [a["src"] for a in parsed.all("video")]
    links += [a["src"] for a in parsed.all("img") if not a["src"].startswith("data:")]
    assert len(links) >= 6 * count
    for link in links:
        parts = urlsplit(link)
        assert not parts.scheme and not parts.netloc and not parts.query
        if parts.path:
            assert os.path.exists(os.fsencode(tmp_path) + b"/" + unquote_to_bytes(parts.path))
            assert parts.fragment in ("", "t=2.50", "t=3.00")
        else:
            assert parts.fragment in anchors
    assert len(parsed.all("video")) == count
    assert "Its score is its mean probability, so it may be below the threshold." in parsed.text
    assert {a["preload"] for a in parsed.all("video")} == {"none"}
    assert not parsed.all("script")
    # Many videos are folded up.
    assert len([a for a in parsed.all("details") if a.get("class") == "video"]) == (
        count if count > 12 else 0
    )


def test_texts_are_escaped_and_secrets_left_out(tmp_path):
    parsed = page(
        tmp_path / "a" / "index.html",
        [result(1, source="rtsp://me:secret@camera/<s>1", name="<u>x</u>")],
        [Skipped("<i>bad</i>.mp4", "moov atom & <p> not found")],
        network="<a>.afn",
        command="afn-jax predict rtsp://me:secret@camera/1 '<x>'",
    )
    for text in (
        *("<u>x</u>", "rtsp://camera/<s>1", "<i>bad</i>.mp4", "moov atom & <p> not found"),
        *("<a>.afn", "rtsp://camera/1 '<x>'", "<b>run</b> & 'jump'", "class 2", "Two <video>"),
    ):
        assert text in parsed.text
    assert "secret" not in parsed.text
    assert not {"u", "b", "i", "s", "x"} & {tag for tag, _ in parsed.tags}
    # Segments, and the mean over the video; NaN has no bar.
    assert "0:02.5" in parsed.text and "1:01.3" in parsed.text and "75 %" in parsed.text
    assert "50.0 %" in parsed.text and "nan" not in parsed.text.lower().replace("name", "")


def test_results_without_anything(tmp_path):
    bare = result(
        1, duration=np.nan, fps=0.0, num_frames=0, strip=np.zeros(0, int), top=(), segments=(),
        files={}, thumbnails=(), notes=(),
    )  # fmt: skip
    parsed = page(tmp_path / "index.html", [bare] * 5, names=())
    assert "unknown" in parsed.text and not parsed.all("video")
    parsed = page(tmp_path / "index.html", [], [Skipped("a.mp4", "empty")] * 1500)
    assert "Predictions for 0 videos" in parsed.text and "and 500 more files" in parsed.text


def test_many_segments_are_cut(tmp_path):
    segments = tuple(Segment(0, float(k), k + 0.5, 0.9) for k in range(3000))
    one = result(1, duration=3000.0, segments=segments)
    text = (page(tmp_path / "index.html", [one]), (tmp_path / "index.html").stat().st_size)
    assert "2,900 more segments" in text[0].text and text[1] < 1_000_000


def test_strip_has_the_colors_of_the_classes():
    parsed = Page(strip_svg(np.array([0, 0, 1, -1, 2]), 10.0, Classes(NAMES)))
    rects = parsed.all("rect")
    assert [rect["fill"] for rect in rects] == [css_color(c) for c in class_colors(3)]
    assert [(float(r["x"]), float(r["width"])) for r in rects] == [(0, 400), (400, 200), (800, 200)]
    assert "walk, 0:00.0 to 0:04.0" in parsed.text


def test_overlapping_segments_are_below_each_other():
    segments = [Segment(0, 0, 5, 1), Segment(1, 2, 8, 1), Segment(2, 5, 12, 1)]
    rects = Page(strip_svg(np.zeros(0), 10.0, Classes(NAMES), segments)).all("rect")
    first, second, third = (float(rect["y"]) for rect in rects)
    assert first == third < second
    assert float(rects[2]["x"]) + float(rects[2]["width"]) == 1000  # not beyond the end


def test_clock():
    times = [0.0, 59.96, 3599.95, np.inf, -1.0]
    assert [exact_clock(t) for t in times] == ["0:00.0", "1:00.0", "1:00:00.0", "unknown", "0:00.0"]
