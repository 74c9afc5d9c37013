"""What a file is: by its extension, otherwise by its first bytes.

The extensions of videos are those of FFmpeg's demuxers of video, and those that cameras, disc
players and archives use for the same formats. Extensions that other files have too, such as `.ts`
(MPEG transport stream, TypeScript) or `.dat` (Video CD, anything), are not among them: such files,
those of unknown extensions and those without one are looked into.
"""

import re

from afn_jax.data.files.video_stream import open_video
from afn_jax.data.source import VideoReadError

USUAL = (  # of the videos of datasets
    *(".avi", ".mp4", ".mkv", ".webm", ".mov", ".mpg", ".mpeg", ".m4v", ".wmv"),
    *(".flv", ".3gp", ".mts", ".m2ts", ".ogv"),
)
EXTENSIONS = (
    *USUAL,
    *(".gif", ".asf", ".divx", ".xvid", ".f4v", ".y4m", ".vob", ".mpv", ".m1v", ".m2v", ".m2t"),
    *(".mxf", ".gxf", ".rm", ".rmvb", ".3g2", ".ogm", ".dv", ".qt", ".amv", ".ivf", ".nut", ".mpe"),
    *(".hevc", ".h264", ".h265", ".264", ".265", ".h263", ".h261", ".vc1", ".obu", ".ismv", ".mj2"),
    *(".mk3d", ".mjpg", ".mjpeg", ".wtv", ".dav", ".nsv", ".nuv", ".viv", ".bik", ".smk", ".roq"),
)
# Of videos and of other files: looked into on disk, but a list that names them means videos.
AMBIGUOUS = (".ts", ".dat", ".mod", ".tod", ".vro", ".ogg", ".ogx", ".mp2", ".ps", ".trp", ".tp")

VIDEO, PICTURE = "video", "picture"
NO_DATA = {"text or list", "code", "checksum or note of a program", "backup copy"}
_OTHERS = {
    PICTURE: ".jpg .jpeg .jpe .png .bmp .dib .webp .ppm .pgm .pbm .pnm .pxm .tif .tiff .jp2 .avif "
    ".exr .hdr .sr .ras .pic .svg .heic .ico .psd .xcf",
    "text or list": ".txt .csv .tsv .json .jsonl .xml .md .rst .html .htm .yaml .yml .toml .ini "
    ".cfg .log .lst .list .nfo .pdf .doc .docx .xls .xlsx .ods .odt .tex .bib .url .sql",
    "code": ".py .ipynb .m .sh .c .cpp .h .js .java .r .lua .bat .pyc .cmake .css",
    "data": ".mat .npy .npz .pt .pth .pkl .pickle .h5 .hdf5 .lmdb .mdb .parquet .arrow .flo .pfm "
    ".tfrecord .arrayrecord .caffemodel .onnx .ckpt .safetensors .bvh .c3d .xsens",
    "archive; unpack it": ".zip .tar .gz .tgz .bz2 .xz .7z .rar .zst .iso .lzma .z01",
    "sound": ".wav .mp3 .m4a .aac .flac .opus .wma .ac3 .mka .aif .aiff .oga .mid",
    "subtitles": ".srt .vtt .ass .ssa .sub .idx .sup .smi",
    "incomplete download": ".part .crdownload .download .partial .ytdl .aria2 .tmp .temp",
    "backup copy": ".bak .old .orig .swp",
    "preview that a camera wrote": ".thm .lrv .bdm .cpi .mpl .ifo .bup .modd .moff .pgi",
    "checksum or note of a program": ".md5 .sha1 .sha256 .torrent .lock .db .lnk .desktop",
}
KIND = {extension: VIDEO for extension in EXTENSIONS} | {
    extension: kind for kind, names in _OTHERS.items() for extension in names.split()
}

_EXTENSION = re.compile(r"\.(?!\d+$)[a-z0-9_-]{1,10}")
_VIDEO_NAMES = {*EXTENSIONS, *AMBIGUOUS}
_STARTS = (
    b"\x1aE\xdf\xa3",  # Matroska, WebM
    b"FLV\x01",
    b"\x30\x26\xb2\x75\x8e\x66\xcf\x11",  # ASF
    b"OggS",
    b"GIF87a",
    b"GIF89a",
    b"\x00\x00\x01\xba",  # MPEG program stream
    b"\x00\x00\x01\xb3",  # MPEG video
    b"DKIF",  # IVF
    b"nut/multimedia",
    b"YUV4MPEG2",
    b".RMF",
    b"\x06\x0e\x2b\x34\x02\x05\x01\x01",  # MXF
    b"DHAV",
    b"\x1f\x07\x00",  # DV, 525 lines
    b"\x1f\x07\x00\x3f",  # DV, 625 lines
    b"\x00\x00\x00\x01\x67",  # H.264: a sequence parameter set
    b"\x00\x00\x00\x01\x40\x01",  # HEVC: a video parameter set
    b"BIKi",
    b"SMK2",
    b"NSVf",
)
_ATOMS = {b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot"}  # MP4 and QuickTime
_PACKETS = ((0, 188), (4, 192))  # MPEG transport streams: first sync byte, size of a packet


def extension_of(name: str) -> str:
    """Returns the extension in lower case; "" if there is none, as in `clip.7`."""
    stem, _, last = name.rpartition(".")
    extension = f".{last.lower()}"
    if stem and (extension in KIND or _EXTENSION.fullmatch(extension)):
        return extension
    return ""


def kind_of(name: str) -> str:
    """Returns `VIDEO`, or another kind of `KIND`; "" if the extension does not decide."""
    kind = KIND.get("." + name.rpartition(".")[2].lower(), "")
    return kind or ("backup copy" if name.endswith("~") else "")


def stem_of(name: str) -> str:
    """Returns the name less the extension of a video; other dots are part of a name."""
    stem, _, last = name.rpartition(".")
    return stem if f".{last.lower()}" in _VIDEO_NAMES else name


def look_into(path: str) -> str:
    """Returns `VIDEO` if a file of unknown kind is a video, or else what it is.

    Only files that begin as videos do are given to the decoder: it would take some texts for play
    lists, and thousands of files would take long.
    """
    try:
        with open(path, "rb") as file:
            start = file.read(4 + 2 * 192 + 1)
    except OSError as error:
        return f"cannot be read: {error.strerror or error}"
    if not start:
        return "empty file"
    if not _starts_as_video(start):
        return "not a video, by its first bytes"
    try:
        with open_video(path):
            return VIDEO
    except VideoReadError as error:
        return f"begins as a video, but: {str(error).removeprefix(f'{path}: ')}"


def _starts_as_video(start: bytes) -> bool:
    if start.startswith(_STARTS) or start[4:8] in _ATOMS:
        return True
    if start[:4] == b"RIFF" and start[8:12] in (b"AVI ", b"AMV "):
        return True
    return any(start[at : at + 2 * size + 1 : size] == b"G" * 3 for at, size in _PACKETS)
