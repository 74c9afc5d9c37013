"""What is counted in a program: operations in its jaxpr, bytes in its compiled text."""

import jax
import jax.numpy as jnp
import pytest
from jax import lax

from train.plan.flops import count_operations
from train.plan.hlo import traffic


def operations(function, *shapes):
    arguments = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes]
    return count_operations(jax.make_jaxpr(function)(*arguments))


def test_counts_products_by_type_and_precision():
    found = operations(lambda a, b: a @ b, (8, 16), (16, 4))
    assert found.products == {"float32": 2 * 8 * 16 * 4} and found.others == 0
    found = operations(lambda a, b: jnp.dot(a, b, precision="highest"), (8, 16), (16, 4))
    assert found.products == {"float32 at highest": 2 * 8 * 16 * 4}
    found = operations(lambda a: a.astype(jnp.bfloat16) @ a.T.astype(jnp.bfloat16), (8, 16))
    assert found.products == {"bfloat16": 2 * 8 * 16 * 8}


def test_counts_every_turn_of_a_loop():
    def function(a):
        return lax.scan(lambda carry, _: (jnp.sin(carry @ a), None), a, None, length=5)[0]

    found = operations(function, (4, 4))
    assert found.products["float32"] == 5 * 2 * 4**3 and found.others == 5 * 16


def test_counts_loops_of_unknown_length_once_and_says_so():
    found = operations(lambda a: lax.while_loop(lambda a: a.sum() < 9, lambda a: a + a, a), (7,))
    assert found.unknown_loops == 1 and found.others == 7


def test_counts_convolutions_as_xla_does():
    def function(frames, kernel):
        return lax.conv_general_dilated(
            frames, kernel, (2, 2), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )

    shapes = (2, 9, 9, 3), (3, 3, 3, 5)
    found = operations(function, *shapes)
    assert found.products == {"float32": 2 * (2 * 4 * 4 * 5) * 27}
    arguments = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes]
    assert jax.jit(function).lower(*arguments).cost_analysis()["flops"] == found.total


def test_a_strided_convolution_costs_the_same_backward_for_each_factor():
    def loss(frames, kernel):
        return lax.conv_general_dilated(
            frames, kernel, (2, 2), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
        ).sum()

    shapes = (1, 8, 8, 3), (4, 4, 3, 5)
    forward = operations(loss, *shapes).products["float32"]
    both = operations(jax.grad(loss, argnums=(0, 1)), *shapes).products["float32"]
    assert 2 * forward <= both <= 3.5 * forward


def test_an_inner_function_and_a_branch_count():
    @jax.checkpoint
    def inner(a):
        return jnp.sin(a @ a)

    assert operations(inner, (4, 4)).products["float32"] == 128
    found = operations(lambda a: lax.cond(a[0, 0] > 0, lambda a: a @ a, lambda a: a, a), (4, 4))
    assert found.products["float32"] == 128


def text_of(function, *shapes):
    arguments = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes]
    return jax.jit(function).lower(*arguments).compile().as_text()


def test_traffic_of_a_loop_counts_every_turn():
    def times(turns):
        def function(a):
            return lax.scan(lambda c, _: (jnp.sin(c @ c), None), a, None, length=turns)[0]

        return traffic(text_of(function, (64, 64))).memory

    two, ten = times(2), times(10)
    size = 64 * 64 * 4
    assert 5 * 2 * size < ten < 10 * 12 * size
    assert ten - two == pytest.approx(8 * (ten - two) / 8) and ten > 3 * two


TEXT = """\
HloModule jit_step, is_scheduled=true

%sliced (p0: f32[10,4], p1: s32[]) -> f32[1,4] {
  %p0 = f32[10,4]{1,0} parameter(0)
  %p1 = s32[] parameter(1)
  %zero = s32[] constant(0)
  ROOT %ds = f32[1,4]{1,0} dynamic-slice(%p0, %p1, %zero), dynamic_slice_sizes={1,4}
}

%body (state: (s32[], f32[10,4])) -> (s32[], f32[10,4]) {
  %state = (s32[], f32[10,4]{1,0}) parameter(0)
  %i = s32[] get-tuple-element(%state), index=0
  %stack = f32[10,4]{1,0} get-tuple-element(%state), index=1
  %one = f32[1,4]{1,0} fusion(%stack, %i), kind=kLoop, calls=%sliced
  %sum = f32[1,4]{1,0} all-reduce(%one), replica_groups={{0,1}}, to_apply=%add
  ROOT %next = (s32[], f32[10,4]{1,0}) tuple(%i, %stack)
}

%condition (state: (s32[], f32[10,4])) -> pred[] {
  %state = (s32[], f32[10,4]{1,0}) parameter(0)
  ROOT %yes = pred[] constant(true)
}

ENTRY %main (a: f32[10,4], b: bf16[8]) -> (s32[], f32[10,4]) {
  %a = f32[10,4]{1,0} parameter(0)
  %b = bf16[8]{0} parameter(1)
  %i = s32[] constant(0)
  %chip = bf16[8]{0:T(8)S(1)} copy(%b)
  %state = (s32[], f32[10,4]{1,0}) tuple(%i, %a)
  ROOT %loop = (s32[], f32[10,4]{1,0}) while(%state), condition=%condition, body=%body, \
backend_config={"known_trip_count":{"n":"10"}}
}
"""


def test_traffic_of_a_text_computed_by_hand():
    found = traffic(TEXT)
    assert found.collectives == 10 and found.exchanged == 10 * 16
    # The fusion reads a slice and an index and writes the slice; the collective reads and writes
    # it. The copy reads 16 bytes, and what it writes stays on the chip.
    assert found.memory == 10 * (16 + 4 + 16) + 10 * (16 + 16) + 16
