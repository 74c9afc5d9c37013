"""Measures how much time the data pipeline adds to the training step.

    python benchmarks/throughput.py actionflownet --scale toy [--FIELD VALUE ...]

Takes the same arguments as `python -m train`. Alternately times the training step alone, on a fixed
batch, and the full loop (next batch, step, metrics one step late). Prints the medians, their ratio,
and the speed of the loader alone.
"""

import os
import statistics
import sys
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import jax

from afn_jax.command.accelerator import start_jax
from afn_jax.data.clip_reader import ClipReader
from afn_jax.data.pipeline import train_iterator
from afn_jax.data.sources import create_source
from afn_jax.types import Batch
from train import config as config_lib
from train.cli import parse
from train.parallel import choose_devices, replicate, split_batch
from train.program import build_program

ROUNDS = 9
STEPS = 20


def main() -> None:
    config = parse(sys.argv[1:])
    config_lib.check(config)
    start_jax(config.compilation_cache)
    devices = choose_devices(config.batch_size, config.max_devices)
    source = create_source(config.data, "train", config.seed)
    program = build_program(config, len(source.class_names), devices)
    reader = ClipReader(source, config.data, program.flow_starts)
    iterator = train_iterator(reader, batch_size=config.batch_size, seed=config.seed)
    step = program.train_step
    state = replicate(program.create_state(), devices)
    fixed = split_batch(Batch.from_arrays(next(iterator)), len(devices))
    state, metrics = step(state, fixed)  # compiles
    jax.block_until_ready(metrics)

    def steps(next_batch):
        nonlocal state
        pending = None
        started = time.perf_counter()
        for _ in range(STEPS):
            state, metrics = step(state, next_batch())
            if pending is not None:
                jax.device_get(pending)
            pending = metrics
        jax.device_get(pending)
        return time.perf_counter() - started

    alone, whole = [], []
    for _ in range(ROUNDS):
        # Lets the loader's threads fill their buffer, so that they are idle while steps are timed.
        time.sleep(1.0)
        alone.append(steps(lambda: fixed))
        # The buffer of a loader that is faster than the step is full now, as in the steady state of
        # a long run.
        whole.append(steps(lambda: split_batch(Batch.from_arrays(next(iterator)), len(devices))))
    started = time.perf_counter()
    for _ in range(STEPS * 2):
        next(iterator)
    loader = (time.perf_counter() - started) / 2

    clips = STEPS * config.batch_size
    ratio = statistics.median(w / a for w, a in zip(whole, alone, strict=True))
    print(f"step alone  {clips / statistics.median(alone):8.1f} clips/s")
    print(f"whole loop  {clips / statistics.median(whole):8.1f} clips/s")
    print(f"loader only {clips / loader:8.1f} clips/s")
    print(f"whole loop / step alone, time: {ratio:.3f} (median of {ROUNDS} interleaved rounds)")


if __name__ == "__main__":
    main()
