"""The iteration as a kernel for TPUs (Mosaic).

128 maps per program, one in each lane. A map has a border of zeros, and a chunk is one row: its
neighbors are the same row read from another place in vector memory.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu

from afn_jax.ops.flow_kernel import iteration as it
from afn_jax.types import Array

_LANES, _SUBLANES = 128, 8
_VECTOR_BYTES = 48 * 2**20  # of at least 64 MiB per core of v5e, v5p, v6e and v7x
_CHECKPOINT_EVERY = 4
_REVERSE_MAPS = 18 + 2 * 8  # scratch; inputs and outputs, twice, because their copies overlap


def to_kernel(maps: Array) -> Array:
    """Turns `[K, N, H, W, C]` into `[K, H + 2, W + 2 or more, N * C or more]`."""
    num, _, height, width, _ = maps.shape
    planes = maps.transpose(0, 2, 3, 1, 4).reshape(num, height, width, -1)
    (rows, columns), lanes = _bordered(height, width), planes.shape[-1]
    after = (rows - height - 1, columns - width - 1, -lanes % _LANES)
    return jnp.pad(planes, [(0, 0), (1, after[0]), (1, after[1]), (0, after[2])])


def from_kernel(maps: Array, shape: tuple[int, int, int, int]) -> Array:
    """Reverses `to_kernel`; the last four sizes of the result are `shape`."""
    num, height, width, channels = shape
    planes = maps[:, 1 : height + 1, 1 : width + 1, : num * channels]
    return planes.reshape(-1, height, width, num, channels).transpose(0, 3, 1, 2, 4)


def fits(height: int, width: int, num_iterations: int) -> bool:
    """Returns whether the reverse of maps of this size fits into vector memory."""
    if jax.default_backend() == "tpu":  # else compiled for another machine, or interpreted
        if pltpu.get_tpu_info().vmem_capacity_bytes < 4 / 3 * _VECTOR_BYTES:
            return False
    return _checkpoint_every(height, width, num_iterations) is not None


def _checkpoint_every(height: int, width: int, num_iterations: int) -> int | None:
    """Returns the iterations per checkpoint, as few as fit; None if nothing fits."""
    rows, columns = _bordered(height, width)
    every = _CHECKPOINT_EVERY
    while True:
        maps = _REVERSE_MAPS + 6 * -(-num_iterations // every)
        if 4 * maps * rows * columns * _LANES <= _VECTOR_BYTES:
            return every
        if every >= num_iterations:
            return None
        every *= 2


def _bordered(height: int, width: int) -> tuple[int, int]:
    return height + 2, -(-(width + 2) // _SUBLANES) * _SUBLANES


@dataclasses.dataclass(frozen=True)
class _Chunk(it.Chunk):
    size: tuple[int, int]
    row: Any

    def take(self, ref, rows: int = 0, columns: int = 0):
        return ref[self.row + 1 + rows, pl.ds(1 + columns, self.size[1]), :]

    def put(self, ref, value):
        ref[self.row + 1, pl.ds(1, self.size[1]), :] = value

    @property
    def has_right(self):
        shape = (self.size[1], _LANES)
        column = jax.lax.broadcasted_iota(jnp.int32, shape, 0)
        return (column < self.size[1] - 1).astype(jnp.float32)

    @property
    def has_below(self):
        return jnp.asarray(self.row < self.size[0] - 1, jnp.float32)


@dataclasses.dataclass(frozen=True)
class _Memory(it.Memory):
    size: tuple[int, int]

    def sweep(self, body, carry=()):
        def step(row, carry):
            return body(_Chunk(self.size, row), carry)

        return jax.lax.fori_loop(0, self.size[0], step, carry)

    def zeros(self):
        return jnp.zeros((self.size[1], _LANES), jnp.float32)

    def clear(self, maps) -> None:
        """Zeroes whole maps, their borders too."""

        def step(row, carry):
            for ref in maps:
                ref[row] = jnp.zeros(ref.shape[1:], jnp.float32)
            return carry

        jax.lax.fori_loop(0, maps[0].shape[0], step, ())

    def copy(self, sources, targets) -> None:
        def body(chunk, carry):
            for source, target in zip(sources, targets, strict=True):
                chunk.put(target, chunk.take(source))
            return carry

        self.sweep(body)


def _maps(ref, *index) -> list:
    return [ref.at[(*index, i)] for i in range(ref.shape[len(index)])]


def forward(
    brightness: Array, weights: Array, num_iterations: int, shape: tuple[int, int], interpret: bool
) -> Array:
    """Returns the flow `[2, ...]` of `brightness`, `[3, ...]`."""
    memory = _Memory(shape)

    def kernel(brightness, weights, flow, *scratch):
        memory.clear(scratch)
        state = it.State.of(scratch)
        unpacked = it.Weights.unpack(weights)
        it.run(memory, unpacked, state, _maps(brightness), num_iterations)
        memory.copy(state.flow, _maps(flow))

    size = brightness.shape[1:]
    args, scratch = (brightness, weights), [_block(size)] * 6
    return _call(kernel, "representation_flow", args, [(2, *size)], scratch, interpret)[0]


def backward(
    brightness: Array,
    weights: Array,
    d_flow: Array,
    num_iterations: int,
    shape: tuple[int, int],
    interpret: bool,
) -> tuple[Array, Array]:
    """Returns the cotangents of `brightness`, and the sums of `reverse` over all maps."""
    memory = _Memory(shape)
    every = _checkpoint_every(*shape, num_iterations)
    num_checkpoints = -(-num_iterations // every)

    def kernel(brightness, weights, d_flow, d_constant, d_x, d_y, sums, checkpoints, *maps):
        memory.clear((*maps, d_constant, d_x, d_y))
        state, moved, slopes, d_state = maps[:6], maps[6:8], maps[8:12], maps[12:]
        memory.copy(_maps(d_flow), d_state[:2])
        extra = it.Reverse(
            (moved[0], moved[1]),
            ((slopes[0], slopes[1]), (slopes[2], slopes[3])),
            it.State.of(d_state),
            (d_constant, d_x, d_y),
        )
        totals = it.run_reverse(
            memory,
            it.Weights.unpack(weights),
            it.State.of(state),
            _maps(brightness),
            extra,
            lambda i: it.State.of(_maps(checkpoints, i)),
            num_iterations,
            every,
        )
        for i, total in enumerate(totals):
            sums[i] = total

    size = brightness.shape[1:]
    shapes = [size, size, size, (it.NUM_SUMS, shape[1], size[-1])]
    scratch = [(num_checkpoints, 6, *_block(size)), *[_block(size)] * 18]
    args, name = (brightness, weights, d_flow), "representation_flow_reverse"
    *d_brightness, sums = _call(kernel, name, args, shapes, scratch, interpret)
    return jnp.stack(d_brightness), jnp.sum(sums, axis=(1, 2))


def _block(shape) -> tuple:
    return (*shape[:-1], _LANES)


def _call(kernel, name, args, out_shapes, scratch, interpret):
    """Runs `kernel` once per 128 maps."""

    def spec(shape):
        return pl.BlockSpec(_block(shape), lambda i: (0,) * (len(shape) - 1) + (i,))

    scalars = pl.BlockSpec(memory_space=pltpu.SMEM)
    return pl.pallas_call(
        kernel,
        grid=(args[0].shape[-1] // _LANES,),
        in_specs=[scalars if arg.ndim == 1 else spec(arg.shape) for arg in args],
        out_specs=[spec(shape) for shape in out_shapes],
        out_shape=[jax.ShapeDtypeStruct(shape, jnp.float32) for shape in out_shapes],
        scratch_shapes=[pltpu.VMEM(shape, jnp.float32) for shape in scratch],
        compiler_params=pltpu.CompilerParams(
            dimension_semantics=("parallel",), vmem_limit_bytes=_VECTOR_BYTES
        ),
        interpret=interpret,
        name=name,
    )(*args)
