"""Compares the motion operators with PyTorch, OpenCV and scikit-image; writes `docs/benchmarks.md`.

    python benchmarks/motion_ops.py [--only layer|tvl1|warp|cost-volume] [--dry-run]

Needs the `dev` extra and PyTorch. Takes about ten minutes on two CPU cores, most of it in
torch.compile. The functions of a row run alternately in one process, and the table contains the
ratios of their median times; on a GPU, also the milliseconds.
"""

import argparse
import dataclasses
import functools
import os
import sys
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.huge_pages import start_with_huge_pages  # noqa: E402

if __name__ == "__main__":
    start_with_huge_pages()

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402

from afn_jax.ops import (  # noqa: E402
    cost_volume,
    initial_params,
    representation_flow,
    tvl1_flow,
    warp,
)
from benchmarks import torch_peers  # noqa: E402
from benchmarks.report import ON_GPU, machine, verdict, write_section  # noqa: E402
from benchmarks.timing import interleaved  # noqa: E402

DEVICE = "cuda" if ON_GPU else "cpu"
LEARNED = ("tau", "lam", "theta", "divergence")


@dataclasses.dataclass
class Row:
    """One line of a table: `functions["ours"]` and its peers.

    Attributes:
        case: the computation.
        functions: functions by name; each returns when its work is done.
        floor_bytes: minimum number of bytes moved: inputs read once and outputs written once.
        targets: by peer, the largest ratio of our time to the peer's that meets the target.
    """

    case: str
    functions: dict[str, Callable[[], object]]
    floor_bytes: float
    targets: dict[str, float]


def ours(function, *arguments):
    arguments = jax.device_put(arguments)
    return lambda: jax.block_until_ready(function(*arguments))


def theirs(function, *arguments):
    def run():
        with torch.no_grad():
            result = function(*arguments)
        if ON_GPU:
            torch.cuda.synchronize()
        return result

    return run


def theirs_backward(function, arguments, learned):
    """Returns a function for the forward pass and the gradient of the sum of squared results."""
    leaves = [
        a.detach().clone().requires_grad_() if i in learned else a for i, a in enumerate(arguments)
    ]

    def run():
        results = function(*leaves)
        results = results if isinstance(results, tuple) else (results,)
        torch.autograd.grad(sum((r * r).sum() for r in results), [leaves[i] for i in learned])
        if ON_GPU:
            torch.cuda.synchronize()

    return run


def to_torch(x, channels_first=True):
    x = np.moveaxis(x, -1, 1) if channels_first else x
    return torch.tensor(np.ascontiguousarray(x), device=DEVICE)


def layer_rows():
    random = np.random.default_rng(0)
    forward = [(120, 14, 10), (120, 28, 10), (120, 28, 50), (30, 56, 10)]
    backward = [(120, 14, 10), (32, 28, 10), (8, 56, 10)]
    for with_gradient, cases in ((False, forward), (True, backward)):
        for num_maps, side, iterations in cases:
            shape = (num_maps, side, side, 32)
            first = (255 * random.random(shape)).astype(np.float32)
            second = (first + 10 * random.standard_normal(shape)).astype(np.float32)
            yield _layer_row(first, second, iterations, with_gradient)


def _layer_row(first, second, iterations, with_gradient):
    def flow(first, second, params):
        return representation_flow(first, second, params, num_iterations=iterations)

    params = initial_params()
    learned = {name: getattr(params, name) for name in LEARNED}

    def loss(first, second, learned):
        replaced = dataclasses.replace(params, **learned)
        return jnp.sum(flow(first, second, replaced) ** 2)

    arguments = (
        to_torch(first),
        to_torch(second),
        *(torch.tensor(v, device=DEVICE) for v in (0.25, 0.15, 0.3)),
        torch.tensor([[-1.0, 1.0], [-1.0, 1.0]], device=DEVICE),
    )

    def plain(*arguments):
        return torch_peers.representation_flow(*arguments, iterations)

    def by_convolution(*arguments):
        return torch_peers.representation_flow_by_convolution(*arguments, iterations)

    torch._dynamo.reset()
    compiled = torch.compile(plain, dynamic=False)
    side = first.shape[1]
    small = side < 56
    if with_gradient:
        functions = {
            "ours": ours(jax.jit(jax.grad(loss, argnums=(0, 1, 2))), first, second, learned),
            "torch.compile": theirs_backward(compiled, arguments, range(6)),
            "first formulation, eager": theirs_backward(by_convolution, arguments, range(6)),
        }
        targets = {"torch.compile": 0.7, "first formulation, eager": 0.2}
        maps = 8
    else:
        functions = {
            "ours": ours(jax.jit(flow), first, second, params),
            "torch.compile": theirs(compiled, *arguments),
            "first formulation, eager": theirs(by_convolution, *arguments),
        }
        targets = {"torch.compile": 0.5 if small else 1.1, "first formulation, eager": 0.06}
        maps = 4
    if side > 14 and not ON_GPU:  # the eager version takes seconds per call there
        del functions["first formulation, eager"]
    if ON_GPU:
        targets = {"torch.compile": 0.33}
    kind = "forward + backward" if with_gradient else "forward"
    case = f"{kind}, {len(first)} maps of {side} x {side} x 32, {iterations} iterations"
    return Row(case, functions, maps * first.nbytes, targets)


def tvl1_rows():
    import cv2
    from skimage.registration import optical_flow_tvl1

    for height, width, batch in ((240, 320, 1), (480, 640, 1), (240, 320, 16)):
        random = np.random.default_rng(0)
        noise = random.random((batch, height + 8, width + 8)).astype(np.float32)
        noise = np.stack([cv2.GaussianBlur(x, (0, 0), 2) for x in noise])
        noise = (noise - noise.min()) / (noise.max() - noise.min())
        first, second = noise[:, 4:-4, 4:-4], noise[:, 3:-5, 2:-6]
        bytes255 = [(255 * x).astype(np.uint8) for x in (first, second)]
        functions = {"ours": ours(jax.jit(tvl1_flow), first, second)}
        if hasattr(cv2, "optflow"):
            solver = cv2.optflow.createOptFlow_DualTVL1()

            def opencv(solver=solver, pair=bytes255):
                return [solver.calc(a, b, None) for a, b in zip(*pair, strict=True)]

            functions["OpenCV DualTVL1"] = opencv
        if batch == 1:

            def skimage(pair=(first, second)):
                return [optical_flow_tvl1(a, b) for a, b in zip(*pair, strict=True)]

            functions["scikit-image"] = skimage
        yield Row(
            f"{batch} x {height} x {width}",
            functions,
            4 * first.nbytes,
            {"OpenCV DualTVL1": 0.12},
        )


def warp_rows():
    random = np.random.default_rng(0)
    by_map_coordinates = functools.partial(warp, implementation="map_coordinates")
    for channels in (3, 64):
        image = random.random((8, 224, 224, channels)).astype(np.float32)
        flow = (3 * random.standard_normal((8, 224, 224, 2))).astype(np.float32)
        peer_arguments = (to_torch(image), to_torch(flow, channels_first=False))
        bytes_moved = 2 * image.nbytes + flow.nbytes
        yield Row(
            f"forward, 8 x 224 x 224 x {channels}",
            {
                "ours": ours(jax.jit(warp), image, flow),
                "map_coordinates": ours(jax.jit(by_map_coordinates), image, flow),
                "grid_sample": theirs(torch_peers.warp, *peer_arguments),
            },
            bytes_moved,
            {"grid_sample": 0.75 if channels == 3 else 0.3},
        )
        if channels == 64:
            continue

        def gradient(of, argnums):
            return jax.jit(jax.grad(lambda *inputs: jnp.sum(of(*inputs) ** 2), argnums=argnums))

        for name, argnums, target in (("flow", (1,), 1.0), ("flow and image", (0, 1), 3.3)):
            yield Row(
                f"forward + gradient of {name}, 8 x 224 x 224 x {channels}",
                {
                    "ours": ours(gradient(warp, argnums), image, flow),
                    "map_coordinates": ours(gradient(by_map_coordinates, argnums), image, flow),
                    "grid_sample": theirs_backward(torch_peers.warp, peer_arguments, argnums),
                },
                2 * bytes_moved,
                {"grid_sample": target},
            )


def cost_volume_rows():
    random = np.random.default_rng(0)
    first, second = random.standard_normal((2, 8, 56, 56, 64)).astype(np.float32)
    arguments = (to_torch(first), to_torch(second))
    output_bytes = first.nbytes / 64 * 81

    def plain(first, second):
        return torch_peers.cost_volume(first, second, 4)

    def loss(first, second):
        return jnp.sum(cost_volume(first, second) ** 2)

    compiled = torch.compile(plain, dynamic=False)
    yield Row(
        "forward, 8 x 56 x 56 x 64, radius 4",
        {
            "ours": ours(jax.jit(cost_volume), first, second),
            "torch.compile": theirs(compiled, *arguments),
            "torch, eager": theirs(plain, *arguments),
        },
        2 * first.nbytes + output_bytes,
        {"torch.compile": 2.0},
    )
    yield Row(
        "forward + backward, 8 x 56 x 56 x 64, radius 4",
        {
            "ours": ours(jax.jit(jax.grad(loss, argnums=(0, 1))), first, second),
            "torch.compile": theirs_backward(compiled, arguments, (0, 1)),
            "torch, eager": theirs_backward(plain, arguments, (0, 1)),
        },
        4 * first.nbytes + 2 * output_bytes,
        {"torch.compile": 0.6},
    )


GROUPS = {
    "layer": ("Representation flow layer", layer_rows),
    "tvl1": ("TV-L1", tvl1_rows),
    "warp": ("Warp", warp_rows),
    "cost-volume": ("Cost volume", cost_volume_rows),
}


def bandwidth() -> float:
    """Measures the bytes per second, read and written, of copying a large array."""
    x = jnp.ones((64, 1024, 1024), jnp.float32)
    copy = jax.jit(lambda x: x + 1, donate_argnums=0)
    state = [copy(x)]

    def run():
        state[0] = jax.block_until_ready(copy(state[0]))

    return 2 * x.nbytes / interleaved({"copy": run})["copy"]


def table(rows, speed: float) -> str:
    """Measures the rows; prints each one, and returns them as a Markdown table."""
    lines = []
    for row in rows:
        times = interleaved(row.functions)
        for name, seconds in times.items():
            if name == "ours":
                continue
            ratio = times["ours"] / seconds
            target = row.targets.get(name)
            floor = times["ours"] / (row.floor_bytes / speed)
            cells = [row.case, name, f"{ratio:.2f}", verdict(ratio, target), f"{floor:.0f}"]
            if ON_GPU:
                cells += [f"{1e3 * times['ours']:.3f}", f"{1e3 * seconds:.3f}"]
            lines.append("| " + " | ".join(cells) + " |")
            print(lines[-1], flush=True)
    head = ["case", "peer", "ours / peer", "target", "ours / floor"]
    if ON_GPU:
        head += ["ours, ms", "peer, ms"]
    return "\n".join(["| " + " | ".join(head) + " |", "|---" * len(head) + "|", *lines]) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=GROUPS, help="measure one group")
    parser.add_argument(
        "--dry-run", action="store_true", help="print the results, but write no file"
    )
    arguments = parser.parse_args()
    torch.set_num_threads(os.cpu_count())
    speed = bandwidth()
    print(f"{machine()}; a copy moves {speed / 1e9:.1f} GB/s")
    tables = {
        title: table(rows(), speed)
        for name, (title, rows) in GROUPS.items()
        if arguments.only in (None, name)
    }
    if arguments.dry_run:
        return
    floor = (
        '"Ours / floor" is our time divided by the time to copy the minimum number of bytes: '
        "inputs read\nonce, outputs written once. Iterative operators necessarily take longer. "
        '"First formulation"\nis the authors\' original one, with convolutions and boolean masks. '
        "In the TV-L1 table, peers run\n"
        "with their default settings on a synthetic pair; for matched settings and real pairs, see "
        "[TV-L1\naccuracy](tvl1-accuracy.md)."
    )
    write_section(f"Motion operators, {'GPU' if ON_GPU else 'CPU'}", floor, tables)


if __name__ == "__main__":
    main()
