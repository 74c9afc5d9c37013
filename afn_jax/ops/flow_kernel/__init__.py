"""The iteration of the flow layer as one Pallas kernel per direction, for NVIDIA GPUs and TPUs.

XLA runs each iteration as several programs that read and write all maps in device memory. The
kernel reads a map once, runs all iterations on the chip and writes its flow. The reverse does the
same: it recomputes the iterations and stores the state only at every fourth.
"""

import functools
import types
from typing import Any

import jax
import jax.custom_batching
import jax.export
import jax.numpy as jnp

from afn_jax.ops.backend import current_platform
from afn_jax.types import Array


def fits(shape: tuple[Any, ...], dtype: Any, kernels: str, num_iterations: int) -> bool:
    """Returns whether there is a kernel for features `[N, H, W, C]`; if not, the loop is used.

    There is none for "sobel", float64, zero iterations, unknown sizes (`jax.export`), a device that
    Pallas cannot compile it for, and maps whose reverse does not fit on the chip.
    """
    if kernels != "tvl1" or dtype != jnp.float32 or num_iterations == 0:
        return False
    if any(jax.export.is_symbolic_dim(size) for size in shape):
        return False
    return _backend().fits(*shape[1:3], num_iterations)


def iterate(
    constant: Array,
    gradient: tuple[Array, Array],
    scalars: tuple[Array, Array, Array],
    divergence: Array,
    flow_gradient: Array,
    num_iterations: int,
) -> tuple[Array, Array]:
    """Returns the flow (x, y) after `num_iterations`, each `[N, H, W, C]`.

    It has a derivative in reverse mode only. The kernel is interpreted on the CPU, for tests.

    Args:
        constant: brightness residual at zero flow, `[N, H, W, C]`.
        gradient: gradient of the brightness residual (x, y).
        scalars: tau, lam, theta.
        divergence: `[2, 2]`, see `RepresentationFlowParams`.
        flow_gradient: `[2, 2]`.
        num_iterations: 1 or more.
    """
    backend = _backend()
    tau, lam, theta = scalars
    weights = jnp.concatenate(
        [
            jnp.stack([tau / theta, lam * theta, theta]),
            jnp.ravel(divergence),
            jnp.ravel(flow_gradient),
        ]
    )
    maps = backend.to_kernel(jnp.stack([constant, *gradient]))
    interpret = current_platform() == "cpu"
    size = constant.shape[1:3]
    flow = _flow(backend, num_iterations, size, interpret, maps, weights)
    flow_x, flow_y = backend.from_kernel(flow, constant.shape)
    return flow_x, flow_y


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1, 2, 3))
def _flow(backend, num_iterations, size, interpret, brightness, weights):
    # One kernel after the other under `vmap`, for which Pallas on GPUs has no rule.
    @jax.custom_batching.sequential_vmap
    def forward(brightness, weights):
        return backend.forward(brightness, weights, num_iterations, size, interpret)

    return forward(brightness, weights)


def _flow_forward(backend, num_iterations, size, interpret, brightness, weights):
    flow = _flow(backend, num_iterations, size, interpret, brightness, weights)
    return flow, (brightness, weights)


def _flow_backward(backend, num_iterations, size, interpret, residuals, d_flow):
    brightness, weights = residuals

    @jax.custom_batching.sequential_vmap
    def backward(brightness, weights, d_flow):
        return backend.backward(brightness, weights, d_flow, num_iterations, size, interpret)

    d_brightness, sums = backward(brightness, weights, d_flow)
    theta, divergence = weights[2], weights[3:7]
    d_step, d_bound, d_divergence, d_gradient = jnp.split(sums, [1, 2, 6])
    d_theta = jnp.sum(divergence * d_divergence)[None]
    d_weights = [d_step, d_bound, d_theta, theta * d_divergence, d_gradient]
    return d_brightness, jnp.concatenate(d_weights)


_flow.defvjp(_flow_forward, _flow_backward)


def _backend() -> types.ModuleType:
    """Returns the kernel's module; imported here, because few programs need Pallas."""
    if current_platform() == "tpu":
        from afn_jax.ops.flow_kernel import tpu

        return tpu
    from afn_jax.ops.flow_kernel import gpu

    return gpu
