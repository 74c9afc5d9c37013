"""Methods that estimate the flow from each frame of a sequence to the next."""

from collections.abc import Iterable, Iterator
from typing import Protocol

import cv2
import jax
import jax.numpy as jnp
import numpy as np

from afn_jax.data.teacher import DISTeacher
from afn_jax.data.transforms.brightness import apply_gamma, normalizing_gamma
from afn_jax.export.network import Network
from afn_jax.ops import TVL1Config, resize_flow, tvl1_flow


class FlowMethod(Protocol):
    """Estimates flow; holds a bounded number of frames.

    Attributes:
        name: for people.
        notes: what a user should know, complete after the last flow.
    """

    name: str
    notes: list[str]

    def flows(self, frames: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """Yields the flow from each frame to the next.

        Args:
            frames: `[H, W, 3]` uint8 RGB each, of one size.

        Yields:
            `[H, W, 2]` float32, (x, y) = (right, down) in pixels; one less than there are frames.
        """
        ...


class TVL1Method:
    """TV-L1 of `afn_jax.ops` at full resolution; compiles once per size."""

    name: str
    notes: list[str]

    def __init__(self, config: TVL1Config = TVL1Config()):  # noqa: B008, it is frozen
        self.name, self.notes = "TV-L1", []
        self._solve = jax.jit(
            lambda first, second: tvl1_flow(
                first.astype(jnp.float32) / 255, second.astype(jnp.float32) / 255, config
            )
        )

    def flows(self, frames: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """Yields the flow from each frame to the next."""
        before = computed = None
        for frame in frames:
            if before is not None:
                flow = self._solve(before, frame)  # while the flow before it is written
                if computed is not None:
                    yield np.array(computed)
                computed = flow
            before = frame
        if computed is not None:
            yield np.array(computed)


class DISMethod:
    """OpenCV's DIS, preset medium: faster than TV-L1, and less exact."""

    name: str
    notes: list[str]

    def __init__(self):
        self.name, self.notes = "DIS", []
        self._teacher = DISTeacher("medium")

    def flows(self, frames: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """Yields the flow from each frame to the next."""
        before = None
        for frame in frames:
            if before is not None:
                yield self._teacher(np.stack([before, frame]))[0]
            before = frame


class NetworkMethod:
    """The finest flow of a trained network, resized to the frames.

    The network sees whole frames, resized to its size. Its windows follow each other so that every
    pair of frames has a flow; at the ends of a video they overlap, or repeat a frame if they must.
    """

    name: str

    def __init__(self, network: Network):
        """Takes a network that was loaded with its flow.

        Raises:
            ValueError: it has no flow between two frames of its window.
        """
        card = network.card
        self.name = f"{card.model} of {network.name}"
        self.notes: list[str] = []
        if not card.flow_starts:
            raise ValueError(
                f"model: {network.name} ({card.model}, recipe {card.recipe}) predicts no flow. "
                "Give a network that learned flow, or leave --model out for TV-L1."
            )
        self._network, self._length = network, card.num_frames
        # A flow that starts at the last frame leads to a frame that the network does not see.
        self._starts = [start for start in card.flow_starts if start + 1 < card.num_frames]
        if not self._starts:
            raise ValueError(
                f"model: the windows of {network.name} have {card.num_frames} frame(s), and none "
                "of its flows leads to another one of them. Leave --model out for TV-L1."
            )
        self._maps = {start: k for k, start in enumerate(card.flow_starts)}

    def flows(self, frames: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """Yields the flow from each frame to the next."""
        source, size = iter(frames), None
        kept: dict[int, np.ndarray] = {}  # what the network sees, by frame number
        ready: dict[int, np.ndarray] = {}
        count, ended, pair = 0, False, 0
        repeats = {"first": 0, "last": 0}  # how often a window repeats this frame, at most
        while True:
            # A window that starts at `pair` needs this many frames.
            while not ended and count < pair + self._length:
                frame = next(source, None)
                if frame is None:
                    ended = True
                    break
                if size is None:
                    size = frame.shape[:2]
                    self._describe(size)
                kept[count] = self._small(frame)
                count += 1
            if pair >= count - 1:
                break
            if pair not in ready:
                offset = self._offset(pair, count, ended)
                numbers = np.clip(np.arange(offset, offset + self._length), 0, count - 1)
                repeats["first"] = max(repeats["first"], -offset)
                repeats["last"] = max(repeats["last"], offset + self._length - count)
                window = self._brightened(np.stack([kept[k] for k in numbers.tolist()]))
                maps = np.asarray(self._network(window[None]).flows[0][0], np.float32)
                for start in self._starts:
                    if offset + start >= pair:
                        flow = resize_flow(maps[self._maps[start]], size)
                        ready[offset + start] = np.array(flow)
            yield ready.pop(pair)
            pair += 1
            for old in [k for k in kept if k < pair - self._length]:
                del kept[old]
        for which, times in repeats.items():
            if times:
                self.notes.append(
                    f"the network takes {self._length} frames at a time; where there are too few, "
                    f"the {which} one is repeated up to {times} time{'' if times == 1 else 's'}"
                )

    def _offset(self, pair: int, count: int, ended: bool) -> int:
        """Returns the first frame of a window with a flow from frame `pair`."""
        last = count - self._length if ended else pair
        for start in self._starts:  # the earliest gives the most flows
            if 0 <= pair - start <= last:
                return pair - start
        fitting = [start for start in self._starts if 0 <= pair - start]
        return pair - (fitting[0] if fitting else self._starts[0])

    def _small(self, frame: np.ndarray) -> np.ndarray:
        height, width = size = self._network.card.size
        if frame.shape[:2] == tuple(size):
            small = frame
        else:
            shrinks = height <= frame.shape[0] and width <= frame.shape[1]
            interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
            small = cv2.resize(frame, (width, height), interpolation=interpolation)
        card = self._network.card
        return apply_gamma(small, card.gamma) if card.brighten == "gamma" else small

    def _brightened(self, window: np.ndarray) -> np.ndarray:
        if self._network.card.brighten != "auto":
            return window
        return apply_gamma(window, normalizing_gamma(window))

    def _describe(self, size: tuple[int, int]) -> None:
        seen = tuple(self._network.card.size)
        if seen != tuple(size):
            self.notes.append(
                f"frames of {size[0]} x {size[1]} are resized to {seen[0]} x {seen[1]} for the "
                "network, and its flow is resized back"
            )
