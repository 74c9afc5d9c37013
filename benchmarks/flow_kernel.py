"""Reports what the kernel of the flow layer needs, from programs compiled for a GPU.

    python -m benchmarks.flow_kernel        or another GPU: h200

Prints the tables of `docs/flow-layer.md`: the bytes that the loop and the kernel move, and the
kernel's registers, shared memory and spills. Needs the wheels of `jax[cuda12]`; `ptxas` is that on
the PATH or that of these wheels. It measures no time. There is no table for TPUs: the text of their
programs does not contain how often a loop runs.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from train.plan.target import leave_devices_alone, parse_target

FRAMES, CHANNELS, ITERATIONS = 60, 32, 20
SIDES = (14, 28, 56)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("target", nargs="?", default="h100")
    # Only compiles one size, in a process of its own: Mosaic prints kernels to standard output.
    parser.add_argument("--side", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    target = parse_target(args.target)
    if target.device is None or target.device.platform != "cuda":
        parser.error(f"target: got {args.target!r}; pass an NVIDIA GPU such as h100 or h200")
    leave_devices_alone(target)
    if args.side:
        compile_layer(target, args.side, "pallas", ITERATIONS, gradient=True)
        return
    maps = f"{FRAMES} maps of side x side x {CHANNELS}"
    print(f"{target.text}: {maps}, {ITERATIONS} iterations, MB\n")
    print("| side | | loop, per iteration | loop, per call | kernel, per call |")
    print("|---|---|---|---|---|")
    for side in SIDES:
        for gradient in (False, True):
            print(f"| {side} | {_bytes_row(target, side, gradient)} |", flush=True)
    print("\n| side | | registers | spilled bytes | shared memory, KiB | barriers |")
    print("|---|---|---|---|---|---|")
    for side in SIDES:
        for row in _ptxas_rows(target.text, side):
            print(f"| {side} | {row} |", flush=True)


def _bytes_row(target, side: int, gradient: bool) -> str:
    from train.plan.hlo import traffic

    def moved(implementation, iterations):
        compiled, traced = compile_layer(target, side, implementation, iterations, gradient)
        return traffic(compiled.as_text()).memory + _accessed_again(traced.jaxpr.jaxpr)

    few, many = moved("xla", ITERATIONS // 2), moved("xla", ITERATIONS)
    per_iteration = (many - few) / (ITERATIONS - ITERATIONS // 2)
    figures = (per_iteration, many, moved("pallas", ITERATIONS))
    name = "flow and gradient" if gradient else "flow"
    return " | ".join([name, *(f"{figure / 1e6:.0f}" for figure in figures)])


def compile_layer(target, side: int, implementation: str, iterations: int, gradient: bool):
    """Returns the layer's program for a device of the target, compiled and traced."""
    import jax
    import jax.numpy as jnp
    from jax.sharding import SingleDeviceSharding

    from afn_jax.ops import initial_params, representation_flow
    from afn_jax.ops.backend import tracing_for
    from train.plan.topology import target_devices

    devices = target_devices(target, 1, 1)
    place = SingleDeviceSharding(devices[0])
    shape = (FRAMES, side, side, CHANNELS)

    def flow_of(params, *features):
        return representation_flow(
            *features, params, num_iterations=iterations, implementation=implementation
        )

    def flow_and_gradient(params, first, second, d_flow):
        flow, reverse = jax.vjp(flow_of, params, first, second)
        return flow, reverse(d_flow)

    def abstract(shape):
        return jax.ShapeDtypeStruct(shape, jnp.float32, sharding=place)

    params = jax.tree.map(lambda leaf: abstract(leaf.shape), initial_params())
    args = [params, abstract(shape), abstract(shape)] + [abstract((*shape, 2))] * gradient
    with tracing_for(target.device.platform):
        traced = jax.jit(flow_and_gradient if gradient else flow_of).trace(*args)
        return traced.lower().compile(), traced


def _accessed_again(jaxpr) -> float:
    """Returns the bytes that kernels on a GPU access in global memory beyond once per array."""
    total = 0.0
    for equation in jaxpr.eqns:
        if equation.primitive.name == "pallas_call":
            kernel, mapping = equation.params["jaxpr"], equation.params["grid_mapping"]
            arrays = equation.invars + equation.outvars
            in_global_memory = {
                ref
                for ref in kernel.invars[: len(arrays)]
                if str(getattr(ref.aval, "memory_space", "")).lower().endswith("gmem")
            }
            accessed = _accessed(kernel, in_global_memory) * mapping.grid[0]
            total += accessed - sum(4 * array.aval.size for array in arrays)
        else:
            total += sum(map(_accessed_again, _inner(equation)))
    return total


def _accessed(jaxpr, refs: set) -> float:
    """Returns the bytes of all loads from and stores to `refs`."""
    total = 0.0
    for equation in jaxpr.eqns:
        name, inner = equation.primitive.name, _inner(equation)
        if name in ("get", "load", "swap") and equation.invars[0] in refs:
            total += 4 * equation.outvars[0].aval.size
        for body in inner:
            given = equation.invars[len(equation.invars) - len(body.invars) :]
            reached = {b for a, b in zip(given, body.invars, strict=True) if _in(a, refs)}
            total += _accessed(body, reached) * _turns(equation, body)
    return total


def _in(atom, refs: set) -> bool:
    return type(atom).__name__ != "Literal" and atom in refs


def _turns(equation, body) -> float:
    if equation.primitive.name == "scan":
        return equation.params["length"]
    if equation.primitive.name == "while" and body is equation.params["body_jaxpr"].jaxpr:
        return 1.5  # from a checkpoint to one of the four iterations from there
    return 1


def _inner(equation) -> list:
    found = []
    for value in equation.params.values():
        value = getattr(value, "jaxpr", value)
        if hasattr(value, "eqns") and equation.primitive.name != "pallas_call":
            found.append(value)
    return found


def _ptxas_rows(target: str, side: int) -> list[str]:
    command = [sys.executable, "-m", __spec__.name, target, "--side", str(side)]
    dump = {"MOSAIC_GPU_DUMP_PTX": "1", "MOSAIC_GPU_DUMP_HOST_LLVM": "1"}
    text = subprocess.run(
        command, check=True, stdout=subprocess.PIPE, text=True, env=os.environ | dump
    ).stdout
    launch = r"call void @mosaic_gpu_launch_kernel\(.*i32 (\d+), ptr %\d+, ptr %\d+\)"
    shared = [int(size) / 1024 for size in re.findall(launch, text)]
    programs = re.findall(r"^\.version.*?^\}", text, re.MULTILINE | re.DOTALL)
    rows = []
    for program, kib in zip(programs, shared, strict=True):
        # Debug information refers to sections that were cut off.
        program = re.sub(r"^\s*\.(loc|file)\b.*\n", "", program, flags=re.MULTILINE)
        name = "reverse" if "representation_flow_reverse" in program else "flow"
        report = _ptxas(program)
        registers = re.search(r"Used (\d+) registers", report)[1]
        spilled = sum(int(n) for n in re.findall(r"(\d+) bytes spill", report))
        barriers = program.count("bar.sync") + program.count("barrier.sync")
        rows.append(f"{name} | {registers} | {spilled} | {kib:.0f} | {barriers}")
    return rows


def _ptxas(program: str) -> str:
    ptxas = shutil.which("ptxas")
    if ptxas is None:
        import nvidia.cuda_nvcc

        ptxas = str(Path(nvidia.cuda_nvcc.__path__[0]) / "bin" / "ptxas")
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "kernel.ptx"
        source.write_text(program)
        command = [ptxas, "-v", "-arch=sm_90a", str(source), "-o", str(source) + ".cubin"]
        return subprocess.run(command, check=True, capture_output=True, text=True).stderr


if __name__ == "__main__":
    main()
