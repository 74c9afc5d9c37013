"""Text on frames of a video, drawn with OpenCV."""

import functools
import math
import unicodedata
from collections.abc import Sequence

import cv2
import numpy as np

_FONT = cv2.FONT_HERSHEY_SIMPLEX
_BOLD_FROM = 15  # px of height; thinner strokes are hard to see on a large picture
# OpenCV 4 draws ASCII only. OpenCV 5 also draws these; it mirrors Arabic and lacks Indic letters.
_DRAWN = ("LATIN", "GREEK", "CYRILLIC", "CJK", "HIRAGANA", "KATAKANA", "HANGUL")
_UNICODE = int(cv2.__version__.split(".")[0]) >= 5
_LETTERS = str.maketrans(
    {"ß": "ss", "æ": "ae", "Æ": "Ae", "ø": "o", "Ø": "O", "œ": "oe", "ł": "l", "Ł": "L"}
    | {"đ": "d", "Đ": "D", "ð": "d", "þ": "th", "ı": "i", "–": "-", "—": "-", "’": "'"}
)


def drawable_name(name: str, label: int, *, unicode: bool = _UNICODE) -> str:
    """Returns a class name in characters that OpenCV can draw.

    Accents are removed if necessary. A name of which letters or digits would be lost becomes
    "class 7", with its label.

    Args:
        name: of the class.
        label: of the class.
        unicode: whether more than ASCII can be drawn; the default is right for this OpenCV.
    """
    name = name.encode("utf-8", "ignore").decode()  # OpenCV 5 crashes on half a surrogate pair
    name = " ".join(unicodedata.normalize("NFC", name).split())
    if unicode and all(map(_is_drawn, name)):
        text = name
    else:
        parts = unicodedata.normalize("NFKD", name.translate(_LETTERS))
        kept = [c for c in parts if not unicodedata.category(c).startswith("M")]
        text = "".join(c for c in kept if " " <= c <= "~")
        if sum(map(str.isalnum, text)) < sum(map(str.isalnum, kept)):
            text = ""
    return text.strip() if any(map(str.isalnum, text)) else f"class {label}"


def _is_drawn(character: str) -> bool:
    if " " <= character <= "~":
        return True
    return unicodedata.name(character, "").startswith(_DRAWN)


@functools.lru_cache(maxsize=4096)
def text_width(text: str, height: int) -> int:
    """Returns the width in px of a text whose capitals are `height` px high."""
    if not text:  # OpenCV 4 says 1
        return 0
    return cv2.getTextSize(text, _FONT, _scale(height), _thickness(height))[0][0]


@functools.lru_cache(maxsize=4096)
def shortened(text: str, height: int, width: int) -> str:
    """Returns the text, or its start and "..." so that it is at most `width` px wide, or ""."""
    if text_width(text, height) <= width:
        return text
    shortest, longest = 0, len(text)  # a text of `shortest` fits
    while longest - shortest > 1:
        middle = (shortest + longest) // 2
        fits = text_width(text[:middle].rstrip() + "...", height) <= width
        shortest, longest = (middle, longest) if fits else (shortest, middle)
    return text[:shortest].rstrip() + "..." if shortest else ""


def draw_text(
    image: np.ndarray,
    text: str,
    x: int,
    y: int,
    height: int,
    color: Sequence[int] | np.ndarray = (255, 255, 255),
) -> None:
    """Draws text in place.

    Args:
        image: `[H, W, 3]` uint8; may be a view of a larger picture.
        text: in characters that can be drawn.
        x: left end of the text.
        y: its base line.
        height: of capitals, in px.
        color: in the order of the channels of `image`.
    """
    color = tuple(int(channel) for channel in color)
    cv2.putText(image, text, (x, y), _FONT, _scale(height), color, _thickness(height), cv2.LINE_AA)


def _scale(height: int) -> float:
    return height / 22  # capitals of the font are 22 px high at scale 1


def _thickness(height: int) -> int:
    return 2 if height >= _BOLD_FROM else 1


def clock(seconds: float) -> str:
    """Formats a time as mm:ss.s, or h:mm:ss.s from one hour on; tenths are rounded down."""
    tenths = math.floor(10 * seconds + 1e-6)  # 0.3 s is slightly less than 3 tenths
    minutes, tenths = divmod(tenths, 600)
    hours, minutes = divmod(minutes, 60)
    end = f"{minutes:02}:{tenths // 10:02}.{tenths % 10}"
    return f"{hours}:{end}" if hours else end
