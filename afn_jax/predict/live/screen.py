"""A window on the screen for live sources, if the OpenCV at hand has one."""

import contextlib
import os
import re
import sys
from collections.abc import Callable, Iterator

import cv2
import numpy as np

_HEIGHT = 480  # pixels; guessed


class Screen:
    """An open window."""

    def __init__(self, title: str):
        self._title = title

    def show(self, image: np.ndarray | None, label: str) -> bool:
        """Shows an RGB picture with a label; returns False if the user closed it with q or Esc."""
        if image is not None:
            height, width = image.shape[:2]
            size = max(1, round(width * _HEIGHT / height)), _HEIGHT
            shown = cv2.resize(image[..., ::-1], size, interpolation=cv2.INTER_LINEAR)
            text = label.encode("ascii", "replace").decode()
            for color, thickness in (((0, 0, 0), 4), ((255, 255, 255), 2)):
                cv2.putText(shown, text, (12, 32), cv2.FONT_HERSHEY_SIMPLEX, 0.9, color, thickness)
            cv2.imshow(self._title, shown)
        return cv2.waitKey(1) & 0xFF not in (27, ord("q"))


@contextlib.contextmanager
def open_screen(title: str, tell: Callable[[str], None]) -> Iterator[Screen | None]:
    """Opens a window; yields None, and tells why, if there is no screen."""
    problem = why_no_screen()
    if problem:
        tell(f"no window on the screen: {problem}. Lines of JSON are printed.")
        yield None
        return
    try:
        yield Screen(title)
    finally:
        cv2.destroyAllWindows()


def why_no_screen() -> str:
    """Returns why no window can be shown; "" if one can."""
    gui = re.search(r"^\s*GUI:\s*(\S+)", cv2.getBuildInformation(), re.MULTILINE)
    if gui is None or gui[1] == "NONE":
        return (
            "the installed OpenCV has none (it is headless); pip install opencv-contrib-python in "
            "its place"
        )
    # Without a display, OpenCV's Qt would end the process.
    if sys.platform == "linux" and not (
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    ):
        return "there is no display (DISPLAY is not set)"
    return ""
