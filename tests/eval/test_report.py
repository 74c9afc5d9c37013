"""Writes small reports, parses them, and compares them with the numbers and arrays."""

import base64
import html.parser
import os
import re

import cv2
import numpy as np
import pytest

from eval.report import ReportExample, write_report

NAMES = ["wave", "<b>jump & run</b>", "跳 " + "very_long_name_" * 6]
CONFUSION = np.array([[41, 2, 3], [5, 67, 0], [11, 13, 19]])
HISTORY = [
    {"step": 10, "split": "train", "loss": 1.5, "cross_entropy": 1.0, "epe": 0.9, "top1": 0.3},
    {"step": 20, "split": "train", "loss": float("nan"), "cross_entropy": 0.8, "top1": 0.5},
    {"step": 20, "split": "test", "top1": 0.4, "epe": 0.8, "zero_flow_epe": 1.25, "note": "x"},
]
# Elements that HTML never closes.
VOID = {"meta", "img", "br", "link", "input", "hr"}


class Page(html.parser.HTMLParser):
    """Parses a page and collects problems, such as elements that are closed in the wrong order."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.texts, self.problems = [], [], [], []
        self.feed(text)
        self.close()
        self.problems += [f"<{tag}> is never closed" for tag in self.open]

    def handle_starttag(self, tag, attributes):
        names = [name for name, _ in attributes]
        if len(set(names)) < len(names):
            self.problems.append(f"<{tag}> has an attribute twice: {names}")
        self.tags.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.problems.append(f"</{tag}> closes another element")

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.texts.append(data)

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


def example(time=3, **changes):
    flow = np.zeros((time, 32, 40, 2), np.float32)
    # To the right and slightly down, because the color wheel has its seam exactly on the right.
    flow[:] = (2.0, 0.01)
    rng = np.random.default_rng(0)
    fields = {
        "name": "video <1>",
        "label": 1,
        "scores": np.array([0.25, 0.625, 0.125]),
        "frames": rng.integers(0, 256, (time, 32, 40, 3)).astype(np.uint8),
        "flow": flow,
        "target": flow,
    }
    return ReportExample(**(fields | changes))


def report(tmp_path, **changes):
    fields = {
        "title": "A <title>",
        "summary": {"top1": 0.8125, "chance": 1 / 3, "epe": 0.4321, "clips": 1234},
        "history": HISTORY,
        "class_names": NAMES,
        "confusion": CONFUSION,
        "examples": [example()],
    }
    path = write_report(tmp_path / "new folder" / "report.html", **(fields | changes))
    text = path.read_text(encoding="utf-8")
    page = Page(text)
    assert page.problems == []
    return text, page


def pictures(page):
    """Returns the images of clips: alternative text -> `[H, W, 3]`."""
    result = {}
    for image in page.all("img"):
        data = base64.b64decode(image["src"].removeprefix("data:image/png;base64,"))
        decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
        assert decoded.shape[:2] == (int(image["height"]), int(image["width"]))
        result[image["alt"]] = decoded
    return result


def test_shows_the_numbers(tmp_path):
    _, page = report(tmp_path)
    texts = set(page.texts)
    assert {"81.2 %", "33.3 %", "0.432 px", "1\u202f234"} <= texts
    assert {str(count) for count in CONFUSION.ravel()} <= texts
    assert {"41/46 = 89 %", "67/72 = 93 %", "19/43 = 44 %"} <= texts
    assert {"62.5 %", "25.0 %", "12.5 %"} <= texts


def test_escapes_text(tmp_path):
    text, page = report(
        tmp_path,
        command="run <x> && y",
        notes=["a <note>"],
        skipped=[("a<b>.avi", "cause & <effect>")],
        summary={"<key>": "<value>"},
    )
    for raw in ("<b>", "<1>", "<x>", "<note>", "<effect>", "<value>", "<key>"):
        assert raw not in text
    for whole in ("A <title>", NAMES[1], NAMES[2], "video <1>", "run <x> && y", "a <note>"):
        assert whole in page.texts
    assert {"a<b>.avi", "cause & <effect>", "<value>", "<key>"} <= set(page.texts)


def test_loads_nothing(tmp_path):
    text, page = report(tmp_path)
    assert not re.search(r"https?:|//[a-z]|@import", re.sub(r"base64,[\w+/=]+", "", text))
    assert not {"script", "link", "iframe", "object"} & {tag for tag, _ in page.tags}
    for _, attributes in page.tags:
        for name in ("src", "href"):
            assert attributes.get(name, "data:").startswith("data:")


def test_images_of_a_clip(tmp_path):
    clip = example()
    _, page = report(tmp_path, examples=[clip])
    found = pictures(page)
    assert len(found) == 4 * 3
    frame = found["frame at time 1 of video <1>"]
    assert frame.shape == (96, 120, 3)
    np.testing.assert_array_equal(frame[1::3, 1::3], clip.frames[1])
    for kind in ("predicted flow", "true flow"):
        colors = found[f"{kind} at time 2 of video <1>"].reshape(-1, 3).astype(int)
        # The wheel begins with pure red for motion to the right (Baker et al., IJCV 2011).
        assert np.abs(colors - (255, 0, 0)).max() <= 2
    error = found["endpoint error at time 0 of video <1>"]
    assert len(np.unique(error.reshape(-1, 3), axis=0)) == 1
    assert "full color: 2 px" in page.texts and "0 to 2 px" in page.texts
    assert page.texts.count("0.00 px") == 3


def test_shows_the_mean_endpoint_error_below_its_image(tmp_path):
    clip = example()
    flow = clip.flow.copy()
    flow[1] += (3, 4)
    flow[2, 0, 0] = np.nan
    _, page = report(tmp_path, examples=[example(flow=flow)])
    assert {"0.00 px", "5.00 px", "not finite"} <= set(page.texts)


def test_marks_the_future_flow(tmp_path):
    _, page = report(tmp_path)
    assert "2 → future" in page.texts
    marked = [cell for cell in page.all("td") if cell.get("class") == "future"]
    assert len(marked) == 3  # predicted, true, error


def test_flow_without_future_flow(tmp_path):
    flow = np.ones((2, 32, 40, 2), np.float32)
    _, page = report(tmp_path, examples=[example(flow=flow)])
    assert "predicted flow at time 1 of video <1>" in pictures(page)
    assert "predicted flow at time 2 of video <1>" not in pictures(page)
    assert "true flow at time 2 of video <1>" in pictures(page)
    _, page = report(tmp_path, examples=[example(flow=flow, target=flow)])
    assert not any("→ future" in text for text in page.texts)


def test_pixels_without_true_flow_are_gray(tmp_path):
    mask = np.ones((3, 32, 40), bool)
    mask[:, :, :20] = False
    _, page = report(tmp_path, examples=[example(flow_mask=mask)])
    found = pictures(page)
    for kind in ("true flow", "endpoint error"):
        picture = found[f"{kind} at time 0 of video <1>"].astype(int)
        assert (np.ptp(picture, axis=-1) == 0)[:, :60].all()
        assert not (np.ptp(picture, axis=-1) == 0)[:, 60:].any()


def test_long_clips_show_16_frames_including_first_and_last(tmp_path):
    _, page = report(tmp_path, examples=[example(time=40)])
    frames = [alt for alt in pictures(page) if alt.startswith("frame")]
    assert len(frames) == 16
    assert frames[0].startswith("frame at time 0 ") and frames[-1].startswith("frame at time 39 ")


def test_right_and_wrong(tmp_path):
    _, page = report(tmp_path, examples=[example()])
    assert "✓ right" in page.texts and "✗ wrong" not in page.texts
    _, page = report(tmp_path, examples=[example(label=0)])
    assert "✗ wrong" in page.texts and "✓ right" not in page.texts


def test_nan_scores_are_wrong(tmp_path):
    _, page = report(tmp_path, examples=[example(scores=np.full(3, np.nan))])
    assert "✗ wrong" in page.texts
    assert "nan (not finite)" in page.texts


def test_classification_only(tmp_path):
    _, page = report(tmp_path, history=[], examples=[example(flow=None, target=None)])
    assert len(pictures(page)) == 3
    assert not any("px" in text for text in page.texts if text != "0.432 px")
    assert {"flow-legend"}.isdisjoint(svg.get("class") for svg in page.all("svg"))


def test_report_of_the_confusion_matrix_alone(tmp_path):
    _, page = report(tmp_path, summary={}, history=[], examples=[], confusion=0 * CONFUSION)
    assert page.texts.count("no videos") == 3
    assert [svg["class"] for svg in page.all("svg") if "class" in svg] == ["confusion"]


def test_many_classes(tmp_path):
    names = [f"class {index}" for index in range(101)]
    _, page = report(tmp_path, class_names=names, confusion=np.eye(101), examples=[])
    assert {*names} <= set(page.texts)


def test_summary_values_that_are_not_finite(tmp_path):
    _, page = report(tmp_path, summary={"top1": float("nan"), "epe": float("inf"), "ok": True})
    assert {"nan (not finite)", "inf (not finite)", "yes"} <= set(page.texts)


def test_charts(tmp_path):
    _, page = report(tmp_path)
    charts = [svg["aria-label"] for svg in page.all("svg") if svg.get("class") == "chart"]
    assert charts == [
        "Loss and its terms (train)",
        "Top-1 accuracy",
        "Endpoint error of the flow",
    ]
    assert {"loss", "cross entropy", "train", "test"} <= set(page.texts)
    assert {"chance (33.3 %)", "zero flow (1.25 px)"} <= set(page.texts)
    assert "not finite, not drawn: 1" in page.texts


def test_rejects_a_confusion_matrix_of_wrong_shape(tmp_path):
    with pytest.raises(ValueError, match=r"confusion: got shape \(2, 2\), but 3 class names"):
        report(tmp_path, confusion=np.eye(2))


def test_interrupted_writing_keeps_the_old_report(tmp_path, monkeypatch):
    report(tmp_path)
    folder = tmp_path / "new folder"
    old = (folder / "report.html").read_bytes()

    def fail(source, target):
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        report(tmp_path, title="newer")
    assert (folder / "report.html").read_bytes() == old
    assert os.listdir(folder) == ["report.html"]
