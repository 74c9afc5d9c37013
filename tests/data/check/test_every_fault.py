"""The doctor names each of the faults that one folder has, and nothing that it does not have."""

import os
import shutil
import struct
from fractions import Fraction

import av
import cv2
import numpy as np
import pytest

from afn_jax.data.check.__main__ import main
from afn_jax.data.files.flow import write_flow
from tests.data.videos import encode, moving_picture

FOLDERS = ("frames", "doubtful", "cut off")
GOOD = [f"{c}/good{n}.avi" for c in ("Jump", "Walk") for n in range(4)]


def frames(folder, names):
    folder.mkdir(parents=True)
    for number, name in enumerate(names):
        picture = np.full((48, 64, 3), 10 * number, np.uint8)
        picture[number:, : 2 * number + 3] = 200
        assert cv2.imwrite(str(folder / name), picture)


def mirror(path):
    """Sets the display matrix of an MP4 to one that mirrors (ISO/IEC 14496-12, 8.3.2)."""
    data = bytearray(path.read_bytes())
    matrix = data.index(b"tkhd") + 44
    data[matrix : matrix + 4] = struct.pack(">i", -(1 << 16))
    path.write_bytes(data)


def with_preview(path):
    """Writes a video with a small stream before the real one."""
    with av.open(str(path), "w") as container:
        streams = []
        for height, width in ((16, 16), (48, 64)):
            stream = container.add_stream("mpeg4", rate=25)
            stream.height, stream.width, stream.pix_fmt = height, width, "yuv420p"
            streams.append(stream)
        for image in moving_picture(8):
            for stream in streams:
                small = cv2.resize(image, (stream.width, stream.height))
                container.mux(stream.encode(av.VideoFrame.from_ndarray(small, format="rgb24")))
        for stream in streams:
            container.mux(stream.encode(None))


def with_wide_pixels(path):
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        stream.codec_context.sample_aspect_ratio = Fraction(64, 45)
        for image in moving_picture(8):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    """One folder of videos, without lists, with each of the faults."""
    root = tmp_path_factory.mktemp("faults") / "videos"
    picture = moving_picture(8)

    def video(name, shift=0, codec="mpeg4", **options):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return encode(path, codec, np.roll(picture, shift, 2), **options)

    for number, name in enumerate(GOOD):
        video(name, number)
    # The same file by links, the same clip in two encodings, the same content.
    (root / "Walk/soft.avi").symlink_to("good0.avi")
    os.link(root / "Walk/good1.avi", root / "Walk/hard.avi")
    video("Walk/clip7.avi", 11)
    video("Walk/clip7.mp4", 11)
    video("Walk/clip8.avi", 12)
    video("Walk/clip8.mkv", 12)
    video("Walk/original.avi", 13)
    shutil.copy(root / "Walk/original.avi", root / "Walk/copy.avi")
    video("Walk/twice.avi", 14)
    shutil.copy(root / "Walk/twice.avi", root / "Walk/again.avi")
    # How frames are shown, and which stream.
    mirror(video("Jump/mirrored.mp4", 15))
    with_wide_pixels(root / "Jump/wide.mp4")
    with_preview(root / "Jump/preview.mkv")
    # What a list of video files may overlook.
    video("Jump/a.gif", 20, "gif", pixels="rgb8")
    video("Jump/a_asf.asf", 21, "wmv2")
    video("Jump/a_ts.ts", 22, "mpeg2video")
    video("Jump/b.avi", 23).rename(root / "Jump/b.divx")
    video("Jump/c.mp4", 24).rename(root / "Jump/c.f4v")
    video("Jump/d.y4m", 25, "wrapped_avframe")
    video("Jump/e.mp4", 26).rename(root / "Jump/e")
    (root / "Jump/typescript.ts").write_text("export const a = 1;\n" * 50)
    (root / "Jump/strange.xyz").write_text("x")
    (root / "Jump/empty.xyz").touch()
    (root / "Jump/photos.zip").write_bytes(b"PK")
    (root / "Jump/f.mp4.part").write_bytes(b"\0\0\0 ftypisom")
    (root / "Jump/.hidden.avi").write_bytes(b"x")
    (root / "Jump/nothing").mkdir()
    cv2.imwrite(str(root / "Jump/cover.png"), np.zeros((9, 9, 3), np.uint8))
    # Folders of frames.
    frames(root / "Walk/frames", [f"img_{n:05d}.jpg" for n in range(1, 9)])
    both = [f"{what}_{n:02d}.jpg" for n in range(1, 5) for what in ("img", "depth")]
    frames(root / "Walk/doubtful", both)
    frames(root / "Walk/cut off", [f"img_{n:02d}.jpg" for n in range(1, 5)])
    (root / "Walk/cut off/img_03.jpg").write_bytes(b"no picture")
    return root


def write_lists(lists, train, test):
    lists.mkdir(exist_ok=True)
    number = {"Jump": 1, "Walk": 2}
    for split, names in (("train", train), ("test", test)):
        lines = [f"{name} {number[os.path.normpath(name).split('/')[0]]}\n" for name in names]
        (lists / f"{split}list01.txt").write_text("".join(lines))
    (lists / "classInd.txt").write_text("1 Jump\n2 Walk\n")
    return lists


def check(capsys, root, *arguments):
    capsys.readouterr()
    code = main([str(root), "--num-frames", "4", "--threads", "2", "--examples", "50", *arguments])
    return code, capsys.readouterr().out


def sections(text):
    """Returns {heading of a finding: lines of its places}."""
    found, places = {}, []
    for line in text.splitlines():
        if line.startswith(("HARM", "note")):
            places = found.setdefault(line[13:], [])
        elif line.startswith(" " * 13):
            places.append(line.strip())
    return found


def table(text):
    """Returns {(kind, count): what became of it} of the table of kinds."""
    rows = {}
    for line in text.splitlines():
        kind, count, became = line[:20].strip(), line[20:29].strip(), line[31:]
        if count.isdecimal() and line[29:31] == "  " and not became.strip().isdecimal():
            rows[kind, int(count), became.partition(";")[0]] = became.partition("; ")[2]
    return rows


IN_BOTH = "in both the training and the test list"


@pytest.fixture(scope="module")
def by_lists(videos, tmp_path_factory):
    train = ["Jump/good0.avi", "Jump/good1.avi", "Walk/good0.avi", "Walk/good1.avi"]
    train += ["Walk/clip7.avi", "Walk/clip8.avi", "Walk/clip8.mkv", "Walk/original.avi"]
    train += ["Walk/twice.avi", "Walk/again.avi", "Walk/good3.avi", "Walk/./good3.avi"]
    train += ["Walk/doubtful", "Walk/cut off"]
    train += ["Jump/mirrored.mp4", "Jump/wide.mp4", "Jump/preview.mkv"]
    test = ["Jump/good2.avi", "Jump/../Jump/good1.avi", "Walk/soft.avi", "Walk/hard.avi"]
    test += ["Walk/clip7.mp4", "Walk/copy.avi", "Walk/good2.avi", "Jump/good3.avi"]
    return write_lists(tmp_path_factory.mktemp("lists") / "lists", train, test)


def test_names_same_videos_of_lists(videos, by_lists, capsys):
    code, text = check(capsys, videos, "--source", "video-folder", "--annotations", str(by_lists))
    found = sections(text)
    assert code == 1
    assert found[IN_BOTH] == [
        "Jump/good1.avi (training) and Jump/../Jump/good1.avi (test), the same file",
        "Walk/good0.avi (training) and Walk/soft.avi (test), the same file",
        "Walk/good1.avi (training) and Walk/hard.avi (test), the same file",
    ]
    assert found["same clip in two encodings, in training and in test"] == [
        "Walk/clip7.avi (training), Walk/clip7.mp4 (test)"
    ]
    assert found["same content under two names, in training and in test"] == [
        "Walk/original.avi (training) = Walk/copy.avi (test)"
    ]
    assert found["same file under several names in one split; used once per class"] == [
        "Walk/./good3.avi = Walk/good3.avi"
    ]
    assert found["same clip in several encodings in one split, each used as a video"] == [
        "Walk/clip8.avi, Walk/clip8.mkv"
    ]
    assert found["same content more than once in one split"] == ["Walk/again.avi = Walk/twice.avi"]
    doubtful, cut_off = found["cannot be read to the end; training skips what cannot be decoded"]
    assert cut_off == "Walk/cut off: damaged pictures: 1, first: img_03.jpg"
    assert doubtful.startswith("Walk/doubtful: ") and "--data.frame-names" in doubtful
    assert "img_#" in doubtful and "depth_#" in doubtful
    assert found["readable, but unusual"] == [
        "Jump/mirrored.mp4: shown mirrored left to right, as its header says",
        "Jump/wide.mp4: its pixels are not square: 64 x 48 is shown as 91 x 48",
        "Jump/preview.mkv: it has 2 video streams, of which number 1 is read, 64 x 48",
    ]
    assert len(found.pop("on disk, but in no list")) == 8
    assert len(found) == 8


REST = {
    (".ts", 1, "not a video, by its first bytes"): "Jump/typescript.ts",
    (".xyz", 1, "not a video, by its first bytes"): "Jump/strange.xyz",
    (".xyz", 1, "empty file"): "Jump/empty.xyz",
    (".zip", 1, "archive"): "unpack it; Jump/photos.zip",
    (".part", 1, "incomplete download"): "Jump/f.mp4.part",
    ("hidden", 1, "its name starts with a dot"): "Jump/.hidden.avi",
    ("folder", 1, "empty folder"): "Jump/nothing",
    (".png", 1, "picture outside a folder of frames"): "Jump/cover.png",
}


def test_counts_and_names_what_is_in_no_list(videos, by_lists, capsys):
    _, text = check(capsys, videos, "--source", "video-folder", "--annotations", str(by_lists))
    rows = table(text)
    assert rows.items() >= REST.items()
    for kind in (
        ".gif",
        ".asf",
        ".ts",
        ".divx",
        ".f4v",
        ".y4m",
        "no extension",
        "folder of frames",
    ):
        assert (kind, 1, "in no list") in rows
    listed = sum(count for _, count, became in rows if became == "listed")
    assert listed == 21  # two of the 23 names are of files that are listed otherwise


def test_uses_or_names_everything_without_lists(videos, capsys):
    code, text = check(capsys, videos)
    rows, found = table(text), sections(text)
    assert rows.items() >= REST.items()
    for kind in (".gif", ".asf", ".ts", ".divx", ".f4v", ".y4m", "no extension"):
        assert (kind, 1, "listed") in rows
    became = "among video files"
    assert rows["folder of frames", 3, became].endswith("first: Walk/cut off")
    assert IN_BOTH not in found and not any("encodings, in training" in what for what in found)
    encodings = found["same clip in several encodings in one split, each used as a video"]
    assert sorted(encodings) == ["Walk/clip7.avi, Walk/clip7.mp4", "Walk/clip8.avi, Walk/clip8.mkv"]
    assert sorted(found["same file under several names in one split; used once per class"]) == [
        "Walk/good0.avi = Walk/soft.avi",
        "Walk/good1.avi = Walk/hard.avi",
    ]
    total = sum(1 for path in videos.rglob("*") if not path.is_dir()) + len({"nothing", *FOLDERS})
    of_frames = sum(1 for name in FOLDERS for _ in (videos / "Walk" / name).iterdir())
    assert sum(count for _, count, _ in rows) == total - of_frames


def test_names_flow_without_a_known_pixel(tmp_path, capsys):
    flow = np.ones((4, 5, 2), np.float32)
    write_flow(tmp_path / "good.flo", flow)
    write_flow(tmp_path / "unknown.flo", flow, np.zeros((4, 5), bool))
    (tmp_path / "flow_occ").mkdir()
    write_flow(tmp_path / "flow_occ/000000_10.png", flow, np.zeros((4, 5), bool))
    code, text = check(capsys, tmp_path)
    (places,) = sections(text).values()
    assert code == 1 and places == [
        "flow_occ/000000_10.png: no pixel with known flow",
        "unknown.flo: no pixel with known flow",
    ]
