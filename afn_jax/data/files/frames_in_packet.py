"""How many displayed frames a packet gives, known from its bytes, without decoding it."""

import av
from av.video.stream import VideoStream

# Codecs in which every packet is one displayed frame; tests/data/files/test_codecs.py compares each
# with a full decode. AV1: a temporal unit shows exactly one frame (AV1 specification, section 7.5),
# also if it shows a frame that was decoded before. VP9: a superframe holds a displayed frame and
# the hidden ones before it.
_ONE_FRAME = {
    *("h264", "hevc", "av1", "vp9"),
    *("mjpeg", "ffv1", "prores", "dnxhd", "png", "qtrle"),
    *("rawvideo", "jpeg2000", "msmpeg4v3"),
}
# In AVI, the demuxer guesses presentation times, which is wrong for reordered frames. If the end of
# the file is missing, it also guesses which frames are key frames.
_ONE_FRAME_AVI = {"mjpeg", "ffv1", "png", "huffyuv", "ffvhuff", "utvideo", "rawvideo"}

_VOP_START = b"\x00\x00\x01\xb6"  # MPEG-4 part 2: a video object plane, which is a coded picture
_MIN_CODED_VOP = 9  # bytes; guessed: smaller pictures are "not coded" or packed-B placeholders


def frames_in_packet(packet: "av.Packet[VideoStream]", codec: str, is_avi: bool) -> int | None:
    """Returns 1 if a packet is certain to give a frame with its timestamp, 0 if none, else None.

    Args:
        packet: not empty.
        codec: canonical name of the codec, not of its decoder.
        is_avi: whether the container is AVI.
    """
    if codec == "mpeg4":
        return _frames_in_mpeg4(bytes(packet), is_avi)
    if codec == "vp8" and not is_avi:
        # Alternate reference frames are hidden: bit 4 is show_frame (RFC 6386, section 9.1).
        return bytes(packet)[0] >> 4 & 1
    return 1 if codec in (_ONE_FRAME_AVI if is_avi else _ONE_FRAME) else None


def _frames_in_mpeg4(data: bytes, is_avi: bool) -> int | None:
    start = data.find(_VOP_START)
    if start < 0 or len(data) < start + _MIN_CODED_VOP:
        return None
    # vop_coding_type, ISO/IEC 14496-2 section 6.2.5: 0 intra, 1 predicted, 2 bidirectional.
    # More than one picture in a packet is a packed bitstream.
    is_b_frame = data[start + 4] >> 6 == 2
    if data.find(_VOP_START, start + 4) >= 0 or (is_avi and is_b_frame):
        return None
    return 1
