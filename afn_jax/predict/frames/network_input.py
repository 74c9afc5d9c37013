"""What a network sees of a frame and of a window: exactly what evaluation shows it."""

import numpy as np

from afn_jax.data.transforms.brightness import apply_gamma, normalizing_gamma
from afn_jax.data.transforms.crops import CenterCrop, SpatialTransform
from afn_jax.export.card import Card


class NetworkInput:
    """Brightens and crops frames as `ClipReader.evaluation_example` does.

    Frames are prepared once and shared by the windows that overlap. With brighten "auto" the gamma
    is that of all frames of a window, so these are brightened and cropped per window. (An
    evaluation with a flow teacher includes the frame after the window in that gamma.)

    Attributes:
        crop: the box of a frame that the network sees.
    """

    def __init__(self, card: Card, height: int, width: int):
        """Takes the size of the frames, whose shorter side is that of the card."""
        self.crop: SpatialTransform = CenterCrop(tuple(card.size), card.crop_scale).draw(
            height, width
        )
        self._card = card

    def frame(self, image: np.ndarray) -> np.ndarray:
        """Returns what to keep of a frame, `[H, W, 3]` uint8, until its windows are complete."""
        if self._card.brighten == "auto":
            return image
        if self._card.brighten == "gamma":
            image = apply_gamma(image, self._card.gamma)
        return self.crop.frames(image)

    def window(self, frames: np.ndarray) -> np.ndarray:
        """Makes the window `[num_frames, *size, 3]` of what `frame` returned."""
        if self._card.brighten != "auto":
            return frames
        return self.crop.frames(apply_gamma(frames, normalizing_gamma(frames)))
