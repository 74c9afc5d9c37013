"""`python -m eval action | flow | probe | fuse`: evaluates trained runs."""

import os
import sys

from train.errors import exit_cleanly

# Set before JAX starts: its CPU cache warns about harmless differences between machines.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

COMPILATION_CACHE = ".cache/jax"


def main() -> int:
    with exit_cleanly():  # the imports too: they take seconds
        import tyro

        from eval.action import ActionConfig, result_line, run_action
        from eval.flow import FlowConfig, flow_line, run_flow
        from eval.fuse import FuseConfig, fuse_line, run_fuse
        from eval.probe import ProbeConfig, probe_line, run_probe
        from train.accelerator import start_jax

        config = tyro.extras.subcommand_cli_from_dict(
            {"action": ActionConfig, "flow": FlowConfig, "probe": ProbeConfig, "fuse": FuseConfig},
            prog="python -m eval",
            description="Evaluates trained runs, flow methods and the fusion of streams.",
            args=sys.argv[1:],
        )
        if isinstance(config, FuseConfig):
            print(fuse_line(run_fuse(config)))
            return 0
        start_jax(COMPILATION_CACHE)
        if isinstance(config, FlowConfig):
            print(flow_line(run_flow(config)))
            return 0
        if isinstance(config, ProbeConfig):
            print(probe_line(run_probe(config)))
            return 0
        for values in run_action(config):
            print(result_line(values))
    return 0


if __name__ == "__main__":
    sys.exit(main())
