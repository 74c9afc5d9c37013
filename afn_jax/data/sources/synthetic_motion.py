"""Synthetic videos with exact flow, whose class is visible *only* in the motion.

Textured objects move over a moving textured background. All objects of a video share one of eight
motions, the class: translate left / right / up / down, rotate clockwise / counter-clockwise,
approach, recede. A camera motion, a translation of everything, is added independently of the class.

**Why a single frame does not reveal the class.** Each class motion maps the distribution of scenes
onto itself, so frame t has the same distribution for every class and every t:

- The world wraps around at the borders of the frame, and positions are uniform. Translations of
  objects and camera preserve this.
- Outlines and textures of objects are sums of waves in the polar angle and the logarithm of the
  radius, with independent uniform phases. A rotation shifts the phases by (harmonic x angle), a
  zoom by (frequency x log zoom), and a uniform phase plus a shift is uniform.

For the same reason the *surface* of an approaching object expands while its outline keeps its size:
a growing outline would have to start small, and the first frame would reveal the class.

Video `index` of a split is a pure function of (seed, split, index).
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from afn_jax.data.config import DataConfig
from afn_jax.data.source import Clip, Skipped, Video
from afn_jax.data.sources.spec import SourceSpec

CLASS_NAMES = (
    "translate_left",
    "translate_right",
    "translate_up",
    "translate_down",
    "rotate_clockwise",
    "rotate_counter_clockwise",
    "approach",
    "recede",
)
DIRECTIONS = {0: (-1.0, 0.0), 1: (1.0, 0.0), 2: (0.0, -1.0), 3: (0.0, 1.0)}  # (x right, y down)
TURNS = {4: 1.0, 5: -1.0}  # y points down, so a growing angle turns clockwise
ZOOMS = {6: 1.0, 7: -1.0}
SPLITS = {"train": 0, "test": 1, "validation": 2}

CORE = 2.5  # px: within this radius an object's texture, too fine for pixels, fades out
EDGE = 0.5  # px: half the width of an outline's soft edge
WOBBLE = 0.3  # largest relative deviation of an outline from a circle
BACKGROUND_WAVES = 12
TEXTURE_WAVES = 4
MIXED = -1  # layer of a pixel where two layers mix or the texture fades


@dataclasses.dataclass(frozen=True)
class SyntheticMotion:
    """A source of synthetic videos, which are rendered by `source[index].clip(indices)`.

    Attributes:
        num_videos: number of videos; classes alternate, so any multiple of 8 is balanced.
        size: (height, width) of the frames, each at least 16.
        num_frames: length of each video.
        seed: seed of all random numbers.
        split: "train", "test" or "validation": disjoint streams of random numbers.
        speed: range of the class motion in px per frame: of the center for translations, of the
            outline for rotations and zooms.
        camera_speed: largest speed of the camera in px per frame.
        num_objects: range (inclusive) of the number of objects.
        radius: range of an object's mean radius, as a fraction of the smaller side.
    """

    num_videos: int
    size: tuple[int, int] = (32, 32)
    num_frames: int = 8
    seed: int = 0
    split: str = "train"
    speed: tuple[float, float] = (1.5, 3.0)
    camera_speed: float = 0.8
    num_objects: tuple[int, int] = (1, 2)
    radius: tuple[float, float] = (0.25, 0.34)

    class_names = CLASS_NAMES
    skipped: tuple[Skipped, ...] = ()

    def __post_init__(self) -> None:
        if self.split not in SPLITS:
            raise ValueError(
                f"split: got {self.split!r}, but synthetic-motion has {', '.join(SPLITS)}."
            )
        if min(self.size) < 16:
            raise ValueError(
                f"size: got {self.size}, but synthetic objects need at least (16, 16) pixels."
            )
        if self.radius[1] * (1 + WOBBLE) > 0.45:
            raise ValueError(
                f"radius: got {self.radius}, but above 0.34 an object would overlap itself "
                "around the wrapped border."
            )

    def __len__(self) -> int:
        return self.num_videos

    def __getitem__(self, index: int) -> "SyntheticVideo":
        if not 0 <= index < self.num_videos:
            raise IndexError(f"video {index} of {self.num_videos}")
        return SyntheticVideo(self, int(index))


@dataclasses.dataclass(frozen=True)
class SyntheticVideo(Video):
    """A video of `SyntheticMotion`: class `index % 8`, scene drawn from (seed, split, index)."""

    source: SyntheticMotion
    index: int
    has_flow = True

    @property
    def name(self) -> str:
        return f"{self.source.split}-{self.source.seed}-{self.index}"

    @property
    def label(self) -> int:
        return self.index % len(CLASS_NAMES)

    @property
    def num_frames(self) -> int:
        return self.source.num_frames

    def clip(self, indices: np.ndarray) -> Clip:
        """Renders the frames at `indices` and the exact flow from each to the next frame.

        The flow mask is True where the point that a pixel shows is visible in the next frame too:
        inside the frame, and unmixed in all four pixels that a bilinear warp reads there.
        """
        indices = np.asarray(indices)
        source = self.source
        # The scene's random numbers do not depend on the label, so neither does its appearance.
        rng = np.random.default_rng([source.seed, SPLITS[source.split], self.index])
        scene = draw_scene(rng, source)
        times = np.unique(np.concatenate([indices, indices + 1]))
        frames, layers, flows = _render(scene, self.label, times, source.size)
        now, after = np.searchsorted(times, indices), np.searchsorted(times, indices + 1)
        flow = flows[now]
        return Clip(frames[now], flow, visible_in_next(flow, layers[now], layers[after]))


@dataclasses.dataclass(frozen=True)
class Thing:
    """An object: its place, outline and texture at time 0, and its speed."""

    center: np.ndarray  # (x, y) at time 0
    radius: float
    speed: float
    outline: tuple[np.ndarray, np.ndarray, np.ndarray]  # harmonic, amplitude, phase
    angular: np.ndarray  # harmonics of the texture, integers
    radial: np.ndarray  # frequencies of the texture in log radius
    phase: np.ndarray  # [waves]: the same for all colors
    amplitude: np.ndarray  # [waves, 3]
    color: np.ndarray  # [3]


@dataclasses.dataclass(frozen=True)
class Track:
    """Where an object is in each of T frames, and how it moves to the next one."""

    center: np.ndarray  # [T, 2], (x, y) in px
    turned: np.ndarray  # [T] rad since time 0
    zoomed: np.ndarray  # [T] log zoom since time 0
    step: np.ndarray  # [T, 2] translation to the next frame in px, with that of the camera
    turn: np.ndarray  # [T] rad to the next frame
    log_zoom: np.ndarray  # [T], to the next frame


@dataclasses.dataclass(frozen=True)
class Scene:
    """A background, its motion, and the objects in front of it."""

    camera: np.ndarray  # (x, y) px per frame
    waves: np.ndarray  # [waves, 2] background, periods (x, y) per frame
    phase: np.ndarray  # [waves]: the same for all colors
    amplitude: np.ndarray  # [waves, 3]
    color: np.ndarray  # [3]
    objects: tuple[Thing, ...]


def draw_scene(rng: np.random.Generator, source: SyntheticMotion) -> Scene:
    """Draws a scene for the size, the speeds and the objects that a source has."""
    height, width = source.size
    side = min(height, width)

    def draw_texture(count, contrast):
        # One phase for all colors, so that mostly the brightness varies, as in natural images.
        amplitude = rng.uniform(0.3, 1.0, (count, 1)) * rng.uniform(0.6, 1.0, (count, 3))
        amplitude *= contrast / np.sqrt(0.5 * (amplitude**2).sum(0))
        return rng.uniform(0, 2 * np.pi, count), amplitude

    wavelength = rng.uniform(7.0, 14.0, BACKGROUND_WAVES)
    angle = rng.uniform(0, 2 * np.pi, BACKGROUND_WAVES)
    waves = np.stack([np.cos(angle) * width, np.sin(angle) * height], -1) / wavelength[:, None]
    waves = np.rint(waves)  # whole periods per frame: the background wraps around too
    phase, amplitude = draw_texture(BACKGROUND_WAVES, rng.uniform(15, 35))
    color = rng.uniform(70, 185, 3)
    direction = rng.uniform(0, 2 * np.pi)
    camera = rng.uniform(0, source.camera_speed) * np.array([np.cos(direction), np.sin(direction)])

    objects = []
    for _ in range(rng.integers(source.num_objects[0], source.num_objects[1] + 1)):
        harmonic = np.arange(2, 5)
        wobble = rng.uniform(0, WOBBLE / len(harmonic), len(harmonic))
        outline = (harmonic, wobble, rng.uniform(0, 2 * np.pi, len(harmonic)))
        center = rng.uniform(0, 1, 2) * (width, height)
        radius = rng.uniform(*source.radius) * side
        angular = rng.integers(1, 5, TEXTURE_WAVES) * rng.choice([-1, 1], TEXTURE_WAVES)
        radial = rng.uniform(1.5, 5.0, TEXTURE_WAVES)
        texture_phase, texture_amplitude = draw_texture(TEXTURE_WAVES, rng.uniform(25, 45))
        objects.append(
            Thing(
                center,
                radius,
                rng.uniform(*source.speed),
                outline,
                angular,
                radial,
                texture_phase,
                texture_amplitude,
                rng.uniform(60, 195, 3),
            )
        )
    return Scene(camera, waves, phase, amplitude, color, tuple(objects))


def _render(scene, label, times, size):
    """Renders a scene whose objects have the motion `label` all the time; returns as `render`."""
    tracks = []
    for thing in scene.objects:
        drift, turn, log_zoom = motion(thing, label)
        step = scene.camera + drift
        steps, turns, zooms = (np.tile(x, (len(times), 1)) for x in (step, turn, log_zoom))
        center = thing.center + times[:, None] * step
        turned, zoomed = turn * times, log_zoom * times
        tracks.append(Track(center, turned, zoomed, steps, turns[:, 0], zooms[:, 0]))
    return render(scene, tracks, times, size)


def render(
    scene: Scene, tracks: Sequence[Track], times: np.ndarray, size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Renders frames uint8 `[T,H,W,3]`, layers int8 `[T,H,W]` and flow float32 `[T,H,W,2]`.

    Internally, colors and (x, y) come first and pixels last: NumPy is several times faster on long
    last axes, and this runs beside the training.

    Args:
        scene: background and objects.
        tracks: one per object, of as many frames as `times`.
        times: `[T]` integers, frames since time 0, for the camera.
        size: (height, width).
    """
    shape = (len(times), *size)
    colors = _background(scene, times, size)  # [3, T H W]
    layers = np.zeros(colors.shape[1], np.int8)
    flows = np.empty((2, colors.shape[1]), np.float32)
    flows[0], flows[1] = scene.camera
    pixels = size[0] * size[1]
    for layer, (thing, track) in enumerate(zip(scene.objects, tracks, strict=True), start=1):
        where, x, y = _patch(thing, track.center, size)
        radius = np.sqrt(x * x + y * y)
        angle = np.arctan2(y, x) - track.turned[:, None].astype(np.float32)
        log_radius = np.log(np.maximum(radius, np.float32(0.5)))
        log_radius -= track.zoomed[:, None].astype(np.float32)
        alpha = _inside(thing, radius, angle)
        covered = np.flatnonzero(alpha)
        where, x, y, radius, angle, log_radius, alpha = (
            values.take(covered) for values in (where, x, y, radius, angle, log_radius, alpha)
        )
        for plane, color in zip(colors, _texture(thing, radius, angle, log_radius), strict=True):
            under = plane.take(where)
            plane[where] = under + alpha * (color - under)
        whole = (alpha == 1) & (radius >= CORE)
        layers[where] = np.where(whole, np.int8(layer), np.int8(MIXED))
        # One step moves a point at offset d from the center to M d from the moved center.
        cos = (np.exp(track.log_zoom) * np.cos(track.turn) - 1).astype(np.float32)
        sin = (np.exp(track.log_zoom) * np.sin(track.turn)).astype(np.float32)
        step_x, step_y = track.step.astype(np.float32).T
        most = np.flatnonzero(alpha > 0.5)
        where, x, y = where.take(most), x.take(most), y.take(most)
        frame = where // pixels
        cos, sin = cos.take(frame), sin.take(frame)
        flows[0, where] = cos * x - sin * y + step_x.take(frame)
        flows[1, where] = sin * x + cos * y + step_y.take(frame)
    colors = np.clip(np.rint(colors, out=colors), 0, 255, out=colors).astype(np.uint8)
    return (
        np.ascontiguousarray(colors.T).reshape(*shape, 3),
        layers.reshape(shape),
        np.ascontiguousarray(flows.T).reshape(*shape, 2),
    )


def _patch(thing, center, size):
    """Returns the wrapped pixels near `center` `[T, 2]`: flat index, x and y from it, `[T, N]`."""
    height, width = size
    reach = thing.radius * (1 + WOBBLE) + EDGE
    span = np.arange(-int(np.ceil(reach)), int(np.ceil(reach)) + 2)
    near = span**2 + span[:, None] ** 2 <= (reach + np.sqrt(2)) ** 2
    row, column = np.nonzero(near)  # indices into `span`
    corner = np.floor(center).astype(int)
    past = (center - corner).astype(np.float32)
    rows = (corner[:, 1:] + span) % height + height * np.arange(len(center))[:, None]
    columns = (corner[:, :1] + span) % width
    flat = (rows * width).take(row, 1) + columns.take(column, 1)
    span = span.astype(np.float32)
    return flat, (span - past[:, :1]).take(column, 1), (span - past[:, 1:]).take(row, 1)


def motion(thing: Thing, label: int) -> tuple[np.ndarray, float, float]:
    """Returns (translation in px, turn in rad, log zoom), per frame, of this object.

    With a label that is not a class, the object rests.
    """
    drift = thing.speed * np.array(DIRECTIONS.get(label, (0.0, 0.0)))
    turn = TURNS.get(label, 0.0) * thing.speed / thing.radius
    log_zoom = ZOOMS.get(label, 0.0) * np.log1p(thing.speed / thing.radius)
    return drift, turn, log_zoom


def _background(scene: Scene, times: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Renders plane waves moved by the camera, float32 `[3, T H W]`."""
    height, width = size
    frequency = (2 * np.pi * scene.waves / (width, height)).T  # [(x, y), waves], rad per px
    shift = times[:, None] * (scene.camera @ frequency)  # [T, waves]
    rows = np.arange(height)[:, None] * frequency[1] + scene.phase - shift[:, None]
    rows = rows.reshape(-1, rows.shape[-1]).astype(np.float32)  # [T H, waves]
    columns = (np.arange(width) * frequency[0][:, None]).astype(np.float32)  # [waves, W]
    # cos(row + column) of each wave, for all pixels in one matrix product.
    left = np.concatenate([np.cos(rows), -np.sin(rows)], -1)
    right = np.concatenate([np.cos(columns), np.sin(columns)])
    weight = np.concatenate([scene.amplitude, scene.amplitude]).T.astype(np.float32)
    waves = left @ (weight[:, :, None] * right)  # [3, T H, W]
    return waves.reshape(3, -1) + scene.color.astype(np.float32)[:, None]


def _inside(thing: Thing, radius: np.ndarray, angle: np.ndarray) -> np.ndarray:
    """Returns the coverage in [0, 1] of points `[N]`: 1 inside, with a soft edge 1 px wide."""
    border = np.float32(thing.radius)
    for harmonic, wobble, phase in zip(*thing.outline, strict=True):
        border = border + np.float32(thing.radius * wobble) * np.cos(
            np.float32(harmonic) * angle + np.float32(phase)
        )
    return np.clip((border - radius) / np.float32(2 * EDGE) + np.float32(0.5), 0, 1)


def _texture(thing, radius, angle, log_radius) -> np.ndarray:
    """Returns colors `[3, N]` of points `[N]`: waves in (angle, log radius), faded in the core."""
    waves = np.stack([thing.angular, thing.radial], -1).astype(np.float32)  # [waves, 2]
    carrier = waves @ np.stack([angle, log_radius]) + thing.phase.astype(np.float32)[:, None]
    fade = np.clip((radius - np.float32(1)) / np.float32(CORE - 1), 0, 1)
    color = fade * (thing.amplitude.T.astype(np.float32) @ np.cos(carrier))
    return color + thing.color.astype(np.float32)[:, None]


def visible_in_next(flow: np.ndarray, layer: np.ndarray, next_layer: np.ndarray) -> np.ndarray:
    """Returns True where all four pixels that a warp by `flow` reads show the pixel's own layer."""
    num_frames, height, width = layer.shape
    x = flow[..., 0] + np.arange(width, dtype=np.float32)
    y = flow[..., 1] + np.arange(height, dtype=np.float32)[:, None]
    visible = (layer != MIXED) & (x >= 0) & (y >= 0) & (x <= width - 1) & (y <= height - 1)
    where = np.flatnonzero(visible)
    left, top = (np.floor(values.take(where)).astype(np.int64) for values in (x, y))
    frame = where // (height * width)
    corner = (frame * height + top) * width + left
    right = (left < width - 1).astype(np.int64)
    below = (top < height - 1) * np.int64(width)
    own = layer.take(where)
    kept = np.ones(len(where), bool)
    for read in (corner, corner + right, corner + below, corner + right + below):
        kept &= next_layer.take(read) == own
    visible.ravel()[where] = kept
    return visible


def _create(config: DataConfig, split: str, seed: int) -> SyntheticMotion:
    return SyntheticMotion(
        config.train_videos if split == "train" else config.test_videos,
        size=tuple(config.size),
        # A video is as long as a clip, so each of its frames is rendered once, when needed.
        num_frames=(config.num_frames - 1) * config.stride + 1,
        seed=seed,
        split=split,
    )


SOURCE = SourceSpec(
    _create,
    "eight motions, rendered with exact flow; needs no files",
    split="rendered for each seed and split; 1,000,000 training videos by default",
    generated=True,
    mirrorable=False,  # left and right change places
    knows_lengths=False,  # as long as a clip
)
