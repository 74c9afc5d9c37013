"""Compares the 3D networks with PyTorch, forward and training step; writes `docs/benchmarks.md`.

    python benchmarks/networks.py [--dry-run]

Needs the `dev` extra and PyTorch. Takes about ten minutes on two CPU cores. On a GPU, the peer is
torch.compile, in float32 and bfloat16, and the table also contains milliseconds, memory and the
fraction of the chip's peak performance.
"""

import argparse
import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.huge_pages import start_with_huge_pages  # noqa: E402

if __name__ == "__main__":
    start_with_huge_pages()

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402
import optax  # noqa: E402
import torch  # noqa: E402

from afn_jax.losses import cross_entropy, endpoint_error  # noqa: E402
from afn_jax.models import create_model  # noqa: E402
from benchmarks import torch_networks  # noqa: E402
from benchmarks.report import ON_GPU, machine, verdict, write_section  # noqa: E402
from benchmarks.timing import interleaved  # noqa: E402

CLASSES = 101
PEERS = {"actionflownet": torch_networks.ActionFlowNet, "r3d18": torch_networks.R3D18}
CASES = [(2, 8, 64), (1, 16, 112)]  # batch, frames, side
# One clip does not keep a GPU busy. The peak performance is that of an H200 without sparsity.
GPU_CASES = [(8, 16, 112), (32, 16, 112)]
PEAK_FLOPS = {"bfloat16": 989e12, "float32": 67e12}
TARGETS = {"forward": 1.3, "train step": 1.4} if not ON_GPU else {"train step": 1.0}
LEARNING_RATE = 3e-4


def examples(batch, frames, side):
    random = np.random.default_rng(0)
    clip = random.random((batch, frames, side, side, 3)).astype(np.float32)
    flow = random.standard_normal((batch, frames, side // 4, side // 4, 2)).astype(np.float32)
    return clip, random.integers(0, CLASSES, batch).astype(np.int32), flow


def ours(name, dtype, clip, labels, flow):
    """Returns compiled forward and training step, without arguments; memory in bytes; FLOPs."""
    model = create_model(name, num_classes=CLASSES, num_frames=clip.shape[1], dtype=dtype)
    clip, labels, flow = jax.device_put((clip, labels, flow))
    variables = jax.jit(lambda: model.init(jax.random.key(0), clip[:1], train=False))()
    params, stats = variables["params"], variables["batch_stats"]
    optimizer = optax.adam(LEARNING_RATE)

    @jax.jit
    def forward(params, stats):
        return model.apply({"params": params, "batch_stats": stats}, clip, train=False)

    def train_step(params, stats, moments, key):
        def loss(params):
            prediction, updated = model.apply(
                {"params": params, "batch_stats": stats},
                clip,
                train=True,
                rngs={"dropout": key},
                mutable=["batch_stats"],
            )
            total = jnp.mean(cross_entropy(prediction.logits, labels))
            for predicted in prediction.flows:
                total += jnp.mean(endpoint_error(predicted, flow))
            return total, updated["batch_stats"]

        (_, stats), gradient = jax.value_and_grad(loss, has_aux=True)(params)
        updates, moments = optimizer.update(gradient, moments, params)
        return optax.apply_updates(params, updates), stats, moments

    state = [jax.tree.map(jnp.copy, (params, stats, optimizer.init(params)))]
    compiled = (
        jax.jit(train_step, donate_argnums=(0, 1, 2)).lower(*state[0], jax.random.key(1)).compile()
    )

    def train():
        state[0] = jax.block_until_ready(compiled(*state[0], jax.random.key(1)))

    functions = {
        "forward": lambda: jax.block_until_ready(forward(params, stats)),
        "train step": train,
    }
    memory = compiled.memory_analysis()
    used = memory.temp_size_in_bytes + memory.argument_size_in_bytes
    return functions, used, compiled.cost_analysis().get("flops", 0.0)


def theirs(name, dtype, clip, labels, flow):
    device = "cuda" if ON_GPU else "cpu"
    network = PEERS[name](CLASSES).to(device)
    clip = torch.tensor(np.moveaxis(clip, -1, 1).copy(), device=device)
    flow = torch.tensor(np.moveaxis(flow, -1, 1).copy(), device=device)
    labels = torch.tensor(labels, dtype=torch.long, device=device)
    call = network
    if ON_GPU:
        network = network.to(memory_format=torch.channels_last_3d)
        clip = clip.to(memory_format=torch.channels_last_3d)
        torch._dynamo.reset()
        call = torch.compile(network)
    optimizer = torch.optim.Adam(network.parameters(), LEARNING_RATE)
    low = torch.autocast(device, torch.bfloat16, enabled=dtype == jnp.bfloat16)

    def wait():
        if ON_GPU:
            torch.cuda.synchronize()

    def forward():
        network.eval()
        with torch.no_grad(), low:
            call(clip)
        wait()

    def train():
        network.train()
        with low:
            logits, predicted = call(clip)
        loss = torch.nn.functional.cross_entropy(logits.float(), labels)
        if predicted is not None:
            loss = loss + torch.linalg.vector_norm(predicted.float() - flow, dim=1).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        wait()

    return {"forward": forward, "train step": train}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--dry-run", action="store_true", help="print the results, but write no file"
    )
    arguments = parser.parse_args()
    torch.set_num_threads(os.cpu_count())
    torch.set_float32_matmul_precision("high")
    peer_name = "torch.compile" if ON_GPU else "PyTorch"
    head = ["network", "clips", "dtype", "what", f"ours / {peer_name}", "target"]
    if ON_GPU:
        head += ["ours, ms", "clips/s", "memory, GiB", "share of peak"]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    print(machine())
    for name in PEERS:
        for case in GPU_CASES if ON_GPU else CASES:
            for dtype in ("bfloat16", "float32") if ON_GPU else ("float32",):
                arrays = examples(*case)
                own, memory, flops = ours(name, jnp.dtype(dtype), *arrays)
                peer = theirs(name, jnp.dtype(dtype), *arrays)
                for what in own:
                    times = interleaved({"ours": own[what], "peer": peer[what]})
                    ratio = times["ours"] / times["peer"]
                    batch, frames, side = case
                    cells = [name, f"{batch} x {frames} x {side} x {side}", dtype, what]
                    cells += [f"{ratio:.2f}", verdict(ratio, TARGETS.get(what))]
                    if ON_GPU:
                        seconds = times["ours"]
                        cells += [f"{1e3 * seconds:.2f}", f"{batch / seconds:.0f}"]
                        if what == "train step":
                            share = flops / seconds / PEAK_FLOPS[dtype]
                            cells += [f"{memory / 2**30:.1f}", f"{share:.2f}"]
                        else:
                            cells += ["", ""]
                    lines.append("| " + " | ".join(cells) + " |")
                    print(lines[-1], flush=True)
    if not arguments.dry_run:
        write_section(f"Networks, {'GPU' if ON_GPU else 'CPU'}", "\n".join(lines))


if __name__ == "__main__":
    main()
