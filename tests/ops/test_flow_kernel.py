"""The kernel of the flow layer, interpreted on the CPU, compared with the loop."""

import functools
import importlib
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest

from afn_jax.nn import FlowOfFeatures, RepresentationFlow
from afn_jax.ops import flow_kernel, initial_params, representation_flow
from afn_jax.ops.backend import tracing_for
from train.plan.target import missing_wheels, parse_target

ROOT = Path(__file__).resolve().parents[2]

# The interpreted kernel is a long program; compiling it without optimization takes a third.
UNOPTIMIZED = {
    "xla_backend_optimization_level": 0,
    "xla_llvm_disable_expensive_passes": True,
}
if version("jaxlib").startswith("0.10."):  # jaxlib 0.12 rejects it
    UNOPTIMIZED["xla_cpu_use_fusion_emitters"] = False


def module_of(backend):
    return importlib.import_module(f"afn_jax.ops.flow_kernel.{backend}")


@pytest.fixture
def interpret_as(monkeypatch):
    """Sets the kernel that the CPU interprets."""

    def choose(backend):
        monkeypatch.setattr(flow_kernel, "_backend", lambda: module_of(backend))

    return choose


def random_features(shape, seed=0):
    random = np.random.default_rng(seed)
    return [random.normal(127, 60, shape).astype(np.float32) for _ in range(2)]


def random_params():
    random = np.random.default_rng(1)
    return jax.tree.map(
        lambda leaf: leaf * jnp.asarray(random.uniform(0.8, 1.2, leaf.shape), jnp.float32),
        initial_params(),
    )


def flow_and_gradients(features, params, num_iterations, implementation):
    """Returns the flow, and the gradients of a random weighting of it, by the features too."""
    shape = (*features[0].shape, 2)
    weights = np.random.default_rng(2).normal(size=shape).astype(np.float32)

    def flow_of(params, features):
        return representation_flow(
            *features, params, num_iterations=num_iterations, implementation=implementation
        )

    def compute(params, features):
        flow, reverse = jax.vjp(flow_of, params, features)
        return flow, reverse(jnp.asarray(weights))

    lowered = jax.jit(compute).lower(params, features)
    return lowered.compile(compiler_options=UNOPTIMIZED)(params, features)


def assert_same(actual, expected, tolerance=1e-5):
    """Compares trees; the tolerance is relative to the largest value of each leaf, or to 0.1."""

    def compare(a, b):
        assert np.all(np.isfinite(b))
        np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * np.max(np.abs(b), initial=0.1))

    jax.tree.map(compare, actual, expected)


def check(shape, num_iterations):
    features, params = random_features(shape), random_params()
    expected = flow_and_gradients(features, params, num_iterations, "xla")
    assert_same(flow_and_gradients(features, params, num_iterations, "pallas"), expected)
    if min(shape[-3:-1]) > 1:
        assert all(np.all(leaf != 0) for leaf in jax.tree.leaves(expected[1][0]))


@pytest.mark.slow
def test_kernel_has_the_values_and_gradients_of_the_loop(interpret_as):
    interpret_as("gpu")
    check((2, 5, 7, 1), 6)  # six iterations have two checkpoints


def test_kernel_for_tpus_has_the_values_of_the_loop(interpret_as):
    interpret_as("tpu")
    flow_of = functools.partial(representation_flow, num_iterations=3)
    features = random_features((2, 5, 7, 1))
    lowered = jax.jit(functools.partial(flow_of, implementation="pallas")).lower(*features)
    flow = lowered.compile(compiler_options=UNOPTIMIZED)(*features)
    assert_same(flow, flow_of(*features))


@pytest.mark.slow
@pytest.mark.parametrize(
    "shape, num_iterations, backend",
    [
        ((2, 5, 7, 1), 6, "tpu"),
        ((1, 1, 1, 1), 2, "gpu"),
        ((1, 1, 1, 1), 2, "tpu"),
        ((1, 1, 5, 2), 3, "gpu"),
        ((5, 1, 2), 1, "tpu"),
        ((2, 2, 13, 11, 3), 3, "gpu"),  # with several leading axes
        ((1, 8, 16, 130), 2, "tpu"),  # more maps than lanes
        ((1, 33, 29, 1), 3, "gpu"),  # several chunks per map
    ],
)
def test_kernel_has_the_values_and_gradients_of_the_loop_for_all_shapes(
    shape, num_iterations, backend, interpret_as
):
    interpret_as(backend)
    check(shape, num_iterations)


@pytest.mark.slow
def test_kernel_whose_maps_are_partly_in_global_memory_is_the_same(interpret_as, monkeypatch):
    interpret_as("gpu")
    gpu = module_of("gpu")
    monkeypatch.setattr(gpu, "_SHARED_BYTES", 4 * gpu._NEIGHBORS * gpu.Layout(9, 7).length)
    check((1, 9, 7, 2), 6)


@pytest.mark.slow
def test_fewer_checkpoints_in_little_vector_memory_are_the_same(interpret_as, monkeypatch):
    interpret_as("tpu")
    tpu = module_of("tpu")
    map_bytes = 4 * 128 * 8 * 7  # 5 x 3 pixels with a border
    monkeypatch.setattr(tpu, "_VECTOR_BYTES", map_bytes * (tpu._REVERSE_MAPS + 6))
    assert tpu._checkpoint_every(5, 3, 9) == 16
    check((1, 5, 3, 2), 9)


def test_gradient_runs_the_kernel_and_its_reverse_once():
    def loss(a, b):
        return jnp.sum(representation_flow(a, b, num_iterations=3, implementation="pallas"))

    with tracing_for("tpu"):
        program = str(jax.make_jaxpr(jax.value_and_grad(loss))(*random_features((2, 4, 5, 2))))
    assert program.count("name=representation_flow\n") == 1
    assert program.count("name=representation_flow_reverse\n") == 1


@pytest.mark.slow
def test_kernel_under_vmap_is_the_same():
    def gradient_of(implementation):
        def loss(first, second):
            options = dict(num_iterations=2, implementation=implementation)
            return jnp.sum(jnp.sin(representation_flow(first, second, **options)))

        return jax.jit(jax.vmap(jax.grad(loss), in_axes=(1, None)))

    first, second = random_features((4, 5, 2))
    first = np.stack([first, second], axis=1)
    compiled = gradient_of("pallas").lower(first, second).compile(compiler_options=UNOPTIMIZED)
    assert_same(compiled(first, second), gradient_of("xla")(first, second))


CASES_WITHOUT_A_KERNEL = {
    "sobel": dict(kernels="sobel"),
    "zero iterations": dict(num_iterations=0),
    "too large for a GPU": dict(shape=(1, 80, 80, 1)),
    "too large for a TPU": dict(shape=(1, 80, 80, 1), platform="tpu"),
}


def uses_kernel(shape=(1, 4, 5, 2), platform="cuda", dtype=np.float32, **options):
    features = np.zeros(shape, dtype)
    options = dict(num_iterations=2, implementation="pallas") | options

    def flow_of(features):
        return representation_flow(features, features, **options)

    with tracing_for(platform):
        return "pallas_call" in str(jax.make_jaxpr(flow_of)(features))


@pytest.mark.parametrize("name", CASES_WITHOUT_A_KERNEL)
def test_uses_the_loop_where_there_is_no_kernel(name):
    assert not uses_kernel(**CASES_WITHOUT_A_KERNEL[name])


def test_uses_the_loop_in_float64(float64):
    assert not uses_kernel(dtype=np.float64)


@pytest.mark.parametrize("platform", ["cuda", "tpu"])
def test_uses_the_kernel_only_if_asked(platform):
    assert uses_kernel(platform=platform)
    assert uses_kernel(platform=platform, shape=(60, 28, 28, 32), num_iterations=20)
    assert not uses_kernel(platform=platform, implementation="auto")
    assert not uses_kernel(platform=platform, implementation="xla")


@pytest.mark.parametrize("capability, has_kernel", [("9.0", True), ("8.9", False)])
def test_uses_the_loop_on_older_gpus(capability, has_kernel, monkeypatch):
    class Device:
        compute_capability = capability

    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    monkeypatch.setattr(jax, "local_devices", lambda: [Device()])
    assert uses_kernel() == has_kernel


@pytest.mark.parametrize("implementation", ["auto", "pallas"])
def test_exports_with_any_batch_size(implementation):
    flow_of = functools.partial(
        representation_flow, num_iterations=2, implementation=implementation
    )
    batch = jax.export.symbolic_shape("b, 4, 5, 2")
    abstract = jax.ShapeDtypeStruct(batch, np.float32)
    exported = jax.export.export(jax.jit(flow_of))(abstract, abstract)
    features = random_features((3, 4, 5, 2))
    expected = representation_flow(*features, num_iterations=2)
    np.testing.assert_allclose(exported.call(*features), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("layer", [FlowOfFeatures, functools.partial(RepresentationFlow, 2)])
def test_layers_pass_the_implementation_on(layer):
    features = np.zeros((1, 2, 4, 5, 2), np.float32)
    for implementation in ("auto", "pallas"):
        module = layer(num_iterations=2, implementation=implementation)
        with tracing_for("tpu"):
            program = jax.make_jaxpr(module.init)(jax.random.key(0), features)
        assert ("pallas_call" in str(program)) == (implementation == "pallas")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["h100", "v5e:2x2"])
def test_kernel_compiles_for_devices_that_are_not_here(name):
    target = parse_target(name)
    if message := missing_wheels(target):
        pytest.skip(message)
    # In a process of its own: the compilers of two devices do not share one.
    code = (
        "from benchmarks.flow_kernel import compile_layer\n"
        "from train.plan.target import leave_devices_alone, parse_target\n"
        f"target = parse_target({name!r})\n"
        "leave_devices_alone(target)\n"
        "compiled, _ = compile_layer(target, 28, 'pallas', 20, gradient=True)\n"
        "print(compiled.as_text().count('custom-call('))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    if "libtpu_lockfile" in done.stderr:
        pytest.skip("another process of this machine compiles for TPUs")
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= 2  # the kernel and its reverse
