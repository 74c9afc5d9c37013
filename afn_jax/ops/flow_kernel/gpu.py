"""The iteration as a kernel for NVIDIA GPUs of compute capability 9.0 or higher (Mosaic GPU).

One warpgroup of 128 threads per map. A map is a line of pixels in shared memory with `width` zeros
before and after it, so that each neighbor is the same line read from another start: the pixel above
is `width` places before. Pallas's Triton backend has no shared memory to address and no shift.
"""

import dataclasses
import inspect
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import mosaic_gpu as plgpu

from afn_jax.ops.flow_kernel import iteration as it
from afn_jax.types import Array

_LANES = 128  # threads of a warpgroup
_ONE_CHUNK = 7 * _LANES  # maps of 28 x 28 pixels; the reverse has no registers for more
_CHUNK = 4 * _LANES  # of larger maps
_SHARED_BYTES = 225 * 1024  # of 227 KiB per block; Pallas takes 2 KiB for sums over a block
_ALIGNMENT = 256  # Pallas starts every array in shared memory at a multiple of 1 KiB
_NEIGHBORS, _ALL = 12, 24  # maps of the reverse that neighbors read; all of its maps
_CHECKPOINT_EVERY = 4
# The index of a load, which JAX 0.10 asks for; 0.12 has none.
_WHOLE = ((),) if "idx" in inspect.signature(plgpu.load).parameters else ()


@dataclasses.dataclass(frozen=True)
class Layout:
    """Places of the pixels of a map in its line."""

    height: int
    width: int

    @property
    def chunk(self) -> int:
        """Pixels per chunk, a multiple of the threads."""
        pixels = _round_up(self.height * self.width, _LANES)
        return pixels if pixels <= _ONE_CHUNK else _CHUNK

    @property
    def num_chunks(self) -> int:
        return -(-self.height * self.width // self.chunk)

    @property
    def length(self) -> int:
        """Length of a line: the pixels, and `width` zeros on both sides."""
        return _round_up(2 * self.width + self.num_chunks * self.chunk, _ALIGNMENT)

    def lines(self, maps: Array) -> Array:
        """Turns `[..., H, W]` into `[..., length]`."""
        lines = maps.reshape(*maps.shape[:-2], self.height * self.width)
        after = self.length - self.width - lines.shape[-1]
        return jnp.pad(lines, [(0, 0)] * (lines.ndim - 1) + [(self.width, after)])

    def maps(self, lines: Array) -> Array:
        """Turns `[..., length]` into `[..., H, W]`."""
        pixels = lines[..., self.width : self.width + self.height * self.width]
        return pixels.reshape(*lines.shape[:-1], self.height, self.width)


def to_kernel(maps: Array) -> Array:
    """Turns `[K, N, H, W, C]` into `[N * C, K, length]`."""
    num, _, height, width, _ = maps.shape
    planes = maps.transpose(1, 4, 0, 2, 3).reshape(-1, num, height, width)
    return Layout(height, width).lines(planes)


def from_kernel(lines: Array, shape: tuple[int, int, int, int]) -> Array:
    """Turns `[N * C, K, length]` into `[K, N, H, W, C]`, whose last four sizes are `shape`."""
    num, height, width, channels = shape
    planes = Layout(height, width).maps(lines)
    return planes.reshape(num, channels, -1, height, width).transpose(2, 0, 3, 4, 1)


def fits(height: int, width: int, num_iterations: int) -> bool:
    """Returns whether the device has the kernel, and shared memory for its reverse.

    The number of iterations does not matter: the checkpoints are in global memory.
    """
    del num_iterations
    return _is_supported() and 4 * _NEIGHBORS * Layout(height, width).length <= _SHARED_BYTES


def _is_supported() -> bool:
    if jax.default_backend() != "gpu":
        return True  # interpreted, or compiled for another machine
    capability = str(getattr(jax.local_devices()[0], "compute_capability", ""))
    return capability.split(".")[0] in ("9", "10")


@dataclasses.dataclass(frozen=True)
class _Chunk(it.Chunk):
    layout: Layout
    start: Any
    is_compiled: bool

    def take(self, ref, rows: int = 0, columns: int = 0):
        # The line starts with `width` zeros.
        start = self.start + self.layout.width * (1 + rows) + columns
        index = (pl.ds(start, self.layout.chunk),)
        if not self.is_compiled:
            return ref[index]
        return plgpu.load(ref.at[index], *_WHOLE, layout=_strided(self.layout.chunk))

    def put(self, ref, value):
        ref[pl.ds(self.start + self.layout.width, self.layout.chunk)] = value

    @property
    def has_right(self):
        column = jax.lax.rem(self._pixel(), jnp.int32(self.layout.width))
        return self._and_inside(column < self.layout.width - 1)

    @property
    def has_below(self):
        last_row = (self.layout.height - 1) * self.layout.width
        return (self._pixel() < last_row).astype(jnp.float32)

    def _pixel(self):
        pixel = jax.lax.broadcasted_iota(jnp.int32, (self.layout.chunk,), 0)
        if self.is_compiled:
            pixel = plgpu.layout_cast(pixel, _strided(self.layout.chunk))
        return pixel + self.start

    def _and_inside(self, mask):
        inside = self._pixel() < self.layout.height * self.layout.width
        return jnp.logical_and(mask, inside).astype(jnp.float32)


@dataclasses.dataclass(frozen=True)
class _Memory(it.Memory):
    layout: Layout
    is_compiled: bool

    def sweep(self, body, carry=()):
        def step(index, carry):
            start = index * self.layout.chunk
            return body(_Chunk(self.layout, start, self.is_compiled), carry)

        if self.layout.num_chunks == 1:
            carry = step(0, carry)
        else:
            carry = jax.lax.fori_loop(0, self.layout.num_chunks, step, carry)
        self._synchronize()
        return carry

    def _synchronize(self) -> None:
        """Waits for all threads, so that pixels that another thread wrote can be read."""
        if self.is_compiled:
            plgpu.commit_smem()

    def zeros(self, length: int | None = None):
        length = self.layout.chunk if length is None else length
        zeros = jnp.zeros(length, jnp.float32)
        return plgpu.layout_cast(zeros, _strided(length)) if self.is_compiled else zeros

    def clear(self, lines) -> None:
        """Zeroes whole lines, their ends too."""

        def step(index, carry):
            for line in lines:
                line[pl.ds(index * _LANES, _LANES)] = self.zeros(_LANES)
            return carry

        jax.lax.fori_loop(0, self.layout.length // _LANES, step, ())
        self._synchronize()

    def copy(self, *pairs) -> None:
        """Copies maps, given as pairs (from, to); None is zero."""

        def body(chunk, carry):
            for source, target in pairs:
                chunk.put(target, self.zeros() if source is None else chunk.take(source))
            return carry

        self.sweep(body)


def _strided(length: int):
    # One pixel per load: vectors of several would have to be aligned, and neighbors are not.
    return plgpu.Layout.WG_STRIDED((length,), vec_size=1)


def _lines(ref, *index, count: int) -> list:
    return [ref.at[(*index, i)] for i in range(count)]


def forward(
    brightness: Array, weights: Array, num_iterations: int, shape: tuple[int, int], interpret: bool
) -> Array:
    """Returns the flow `[N, 2, length]` of `brightness`, `[N, 3, length]`."""
    layout = Layout(*shape)
    memory = _Memory(layout, not interpret)

    def kernel(brightness, weights, flow, *scratch):
        index = pl.program_id(0)
        state, local = it.State.of(scratch[:6]), scratch[6:]
        memory.clear(scratch)
        memory.copy(*zip(_lines(brightness, index, count=3), local, strict=True))
        it.run(memory, it.Weights.unpack(weights), state, local, num_iterations)
        memory.copy(*zip(state.flow, _lines(flow, index, count=2), strict=True))

    shapes = [(brightness.shape[0], 2, layout.length)]
    args = (brightness, weights)
    return _call(kernel, "representation_flow", args, shapes, 9, layout.length, interpret)[0]


def backward(
    brightness: Array,
    weights: Array,
    d_flow: Array,
    num_iterations: int,
    shape: tuple[int, int],
    interpret: bool,
) -> tuple[Array, Array]:
    """Returns the cotangents of `brightness`, and the sums of `reverse` over all maps."""
    layout = Layout(*shape)
    memory = _Memory(layout, not interpret)
    all_shared = 4 * _ALL * layout.length <= _SHARED_BYTES
    num_checkpoints = -(-num_iterations // _CHECKPOINT_EVERY)
    num_workspace = 0 if all_shared else 6

    def kernel(brightness, weights, d_flow, d_constant, d_x, d_y, sums, checkpoints, *rest):
        index = pl.program_id(0)
        workspace, lines = rest[:num_workspace], rest[num_workspace:]
        given = _lines(brightness, index, count=3)
        out = [ref.at[index] for ref in (d_constant, d_x, d_y)]
        state, moved, slopes = it.State.of(lines[:6]), lines[6:8], lines[8:12]
        if all_shared:
            d_state, local, d_local = lines[12:18], lines[18:21], lines[21:24]
        else:
            d_state, local, d_local = [ref.at[index] for ref in workspace], given, out
        memory.clear(lines)
        copies = list(zip(_lines(d_flow, index, count=2), d_state, strict=False))
        if all_shared:
            copies += list(zip(given, local, strict=True))
        memory.copy(*copies, *((None, ref) for ref in (*d_state[2:], *d_local)))
        extra = it.Reverse(
            (moved[0], moved[1]),
            ((slopes[0], slopes[1]), (slopes[2], slopes[3])),
            it.State.of(d_state),
            (d_local[0], d_local[1], d_local[2]),
        )
        totals = it.run_reverse(
            memory,
            it.Weights.unpack(weights),
            state,
            local,
            extra,
            lambda i: it.State.of(_lines(checkpoints, index, i, count=6)),
            num_iterations,
            _CHECKPOINT_EVERY,
        )
        for i, total in enumerate(totals):
            sums[index, i] = jnp.sum(total)
        if all_shared:
            memory.copy(*zip(d_local, out, strict=True))

    num, length = brightness.shape[0], layout.length
    maps = [(num, length)]
    shapes = [*maps * 3, (num, it.NUM_SUMS), (num, num_checkpoints, 6, length)]
    shapes += maps * num_workspace
    args, lines = (brightness, weights, d_flow), _ALL if all_shared else _NEIGHBORS
    name = "representation_flow_reverse"
    *d_brightness, sums = _call(kernel, name, args, shapes, lines, length, interpret)[:4]
    return jnp.stack(d_brightness, axis=1), jnp.sum(sums, axis=0)


def _call(kernel, name, args, out_shapes, lines, length, interpret):
    """Runs `kernel` once per map, with `lines` lines of shared memory."""
    in_global_memory = pl.BlockSpec(memory_space=plgpu.GMEM)
    return pl.pallas_call(
        kernel,
        grid=(args[0].shape[0],),
        in_specs=[in_global_memory] * len(args),
        out_specs=[in_global_memory] * len(out_shapes),
        out_shape=[jax.ShapeDtypeStruct(shape, jnp.float32) for shape in out_shapes],
        scratch_shapes=[plgpu.SMEM((length,), jnp.float32)] * lines,
        # Sweeps synchronize at their ends; a barrier around every store would be slow.
        compiler_params=plgpu.CompilerParams(unsafe_no_auto_barriers=True),
        interpret=interpret,
        name=name,
    )(*args)


def _round_up(size: int, multiple: int) -> int:
    return -(-size // multiple) * multiple
