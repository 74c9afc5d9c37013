"""What a file is, by its name or its first bytes; compared with what the decoder opens."""

import time
from fractions import Fraction

import av
import pytest

from afn_jax.data.sources.kinds import (
    AMBIGUOUS,
    EXTENSIONS,
    KIND,
    VIDEO,
    extension_of,
    kind_of,
    look_into,
    stem_of,
)
from tests.data.videos import moving_picture

# Container and codec of files with each extension.
WRITTEN = {
    ".avi": ("avi", "mpeg4"),
    ".mp4": ("mp4", "mpeg4"),
    ".mov": ("mov", "mpeg4"),
    ".qt": ("mov", "mjpeg"),
    ".f4v": ("mp4", "mpeg4"),
    ".3g2": ("3g2", "mpeg4"),
    ".mkv": ("matroska", "mpeg4"),
    ".webm": ("webm", "libvpx"),
    ".flv": ("flv", "flv"),
    ".asf": ("asf", "wmv2"),
    ".wmv": ("asf", "wmv2"),
    ".divx": ("avi", "mpeg4"),
    ".ts": ("mpegts", "mpeg2video"),
    ".m2ts": ("mpegts", "mpeg2video"),
    ".tp": ("mpegts", "mpeg2video"),
    ".vob": ("vob", "mpeg2video"),
    ".mpg": ("mpeg", "mpeg1video"),
    ".mod": ("mpeg", "mpeg2video"),
    ".m2v": ("mpeg2video", "mpeg2video"),
    ".mpv": ("mpeg1video", "mpeg1video"),
    ".ogv": ("ogg", "libtheora"),
    ".ogg": ("ogg", "libtheora"),
    ".gif": ("gif", "gif"),
    ".y4m": ("yuv4mpegpipe", "wrapped_avframe"),
    ".nut": ("nut", "mpeg4"),
    ".ivf": ("ivf", "libvpx"),
    ".mxf": ("mxf", "mpeg2video"),
    ".dv": ("dv", "dvvideo"),
    ".rm": ("rm", "rv20"),
    ".h264": ("h264", "libx264"),
    ".hevc": ("hevc", "libx265"),
    ".mjpeg": ("mjpeg", "mjpeg"),
}
SIZES = {"dvvideo": (480, 720), "rv20": (144, 176)}
PIXELS = {"gif": "rgb8", "mjpeg": "yuvj420p", "dvvideo": "yuv411p"}


def write(path, container, codec, num_frames=4):
    """Writes a video of any name in the given container; skips the test where that is missing."""
    try:
        file = av.open(str(path), "w", format=container)
        rate = "30000/1001" if codec == "dvvideo" else 25
        stream = file.add_stream(codec, rate=Fraction(rate))
    except (ValueError, av.error.FFmpegError) as error:
        pytest.skip(f"this FFmpeg does not write {container} with {codec}: {error}")
    with file:
        stream.height, stream.width = SIZES.get(codec, (48, 64))
        stream.pix_fmt = PIXELS.get(codec, "yuv420p")
        stream.codec_context.thread_count = 1
        for image in moving_picture(num_frames, stream.height, stream.width):
            file.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        file.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("extension", WRITTEN)
def test_recognizes_what_the_decoder_opens(tmp_path, extension):
    path = write(tmp_path / f"clip{extension}", *WRITTEN[extension])
    with av.open(str(path)) as container:
        assert sum(1 for _ in container.decode(video=0)) >= 3
    assert (kind_of(path.name) or look_into(str(path))) == VIDEO
    assert stem_of(path.name) == "clip"
    if extension != ".mjpeg":  # these files begin as a picture does
        assert look_into(str(path)) == VIDEO


def test_demuxers_of_video_are_known_by_their_extension():
    """Other extensions of FFmpeg's containers are of sound, pictures, texts, or looked into."""
    video = "avi mov,mp4,m4a,3gp,3g2,mj2 matroska,webm flv asf mpeg mpegts nut mxf yuv4mpegpipe gif"
    video += " ivf h264 hevc dv rm wtv amv mjpeg gxf vc1 obu"
    not_video = {"avif", "heic", "heif", "m4a", "m4b", "wma", "mka", "mks", "ra", "ism", "isma"}
    for name in video.split():
        try:
            extensions = av.ContainerFormat(name, "r").extensions - not_video
        except ValueError:  # not in this FFmpeg
            continue
        for extension in extensions - {"psp", "mpo", "avc", "h26l", "rcv", "dif"}:
            known = kind_of(f"a.{extension}") == VIDEO or f".{extension}" in AMBIGUOUS
            assert known, (name, extension)


NOT_VIDEOS = {
    "typescript.ts": b"export const G = 'GGGG';\n" * 30,
    "playlist": b"#EXTM3U\n#EXT-X-TARGETDURATION:10\nhttp://localhost/a.ts\n",
    "concat.unknown": b"ffconcat version 1.0\nfile /etc/passwd\n",
    "README": b"A dataset.\n",
    "zeros.dat": bytes(4096),
    "sound.dat": b"RIFF\x24\x08\x00\x00WAVEfmt ",
    "picture.unknown": b"\x89PNG\r\n\x1a\n" + bytes(50),
    "truncated.unknown": b"\x1aE\xdf\xa3 nothing more",
}


@pytest.mark.parametrize("name", NOT_VIDEOS)
def test_recognizes_what_is_no_video(tmp_path, name):
    (tmp_path / name).write_bytes(NOT_VIDEOS[name])
    assert kind_of(name) == ""
    kind = look_into(str(tmp_path / name))
    begins = "begins as a video, but: "
    assert kind.startswith(begins if "truncated" in name else "not a video, by its first bytes")


def test_names_empty_and_unreadable_files(tmp_path):
    (tmp_path / "empty").touch()
    assert look_into(str(tmp_path / "empty")) == "empty file"
    assert look_into(str(tmp_path / "gone")) == "cannot be read: No such file or directory"


@pytest.mark.parametrize(
    ("name", "extension", "stem"),
    [
        ("clip.AVI", ".avi", "clip"),
        ("clip 1.5.mp4", ".mp4", "clip 1.5"),
        ("clip", "", "clip"),
        ("clip.7", "", "clip.7"),
        ("v.264", ".264", "v"),
        ("what is this. a clip", "", "what is this. a clip"),
        ("a.tar.gz", ".gz", "a.tar.gz"),
        ("clip.ts", ".ts", "clip"),
        (".mp4", "", ""),
    ],
)
def test_extensions(name, extension, stem):
    assert (extension_of(name), stem_of(name)) == (extension, stem)


@pytest.mark.parametrize("name", ["a.mp4.part", "a.mp4.crdownload", "a.avi~", "a.avi.bak", "a.lrv"])
def test_incomplete_files_and_copies_are_not_looked_into(name):
    assert kind_of(name) not in ("", VIDEO)


def test_every_extension_has_one_kind():
    assert all(KIND[extension] == VIDEO for extension in EXTENSIONS)
    assert not KIND.keys() & {*AMBIGUOUS}
    assert all(name == name.lower() and name[0] == "." for name in KIND)


def test_thousands_of_texts_take_no_time(tmp_path):
    paths = [tmp_path / str(number) for number in range(2000)]
    for path in paths:
        path.write_text("import nothing\n" * 100)
    start = time.process_time()
    assert {look_into(str(path)) for path in paths} == {"not a video, by its first bytes"}
    assert time.process_time() - start < 1
