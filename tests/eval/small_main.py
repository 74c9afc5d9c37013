"""`python -m eval` on runs of `tests.train.hosts.small_main`. Run as a program."""

import eval.flow_methods
import eval.predict
from afn_jax.command.process import run_as_process
from eval.__main__ import main
from tests.small_run import build_small_network

eval.flow_methods.build_model = build_small_network
eval.predict.build_model = build_small_network

if __name__ == "__main__":
    run_as_process(main, starting=True)
