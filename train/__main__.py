"""`python -m train RECIPE [--stage STAGE] [--scale toy] [--data SOURCE] [--FIELD VALUE ...]`.

With `--plan TARGET` it trains nothing: see `train.plan`. With `--distributed` it is one of several
processes: see `train.hosts`.
"""

import os
import sys

from train.errors import exit_cleanly
from train.hosts.ending import ends_at_once

# Set before JAX starts: its CPU cache warns about harmless differences between machines.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def main() -> int:
    with ends_at_once(), exit_cleanly():  # the imports too: they take seconds
        from train.command_line import fail
        from train.hosts.options import take_host_options
        from train.plan.options import take_plan_options
        from train.plan.target import leave_devices_alone

        plan, arguments = take_plan_options(sys.argv[1:])
        hosts, arguments = take_host_options(arguments)
        if plan is not None:
            if hosts is not None:
                fail("--plan needs one process: leave out --distributed.")
            leave_devices_alone(plan.target)
        from train.cli import parse_chain

        configs = parse_chain(arguments)
        if plan is not None:
            from train.plan.command import make_plan

            return make_plan(configs, plan)
        import jax

        from afn_jax.command.accelerator import start_jax
        from train.hosts.connect import connect
        from train.hosts.together import by_first
        from train.loop import train

        if hosts is not None:
            connect(hosts)
        start_jax(configs[0].compilation_cache)
        for number, config in enumerate(configs, 1):
            result = train(config)
            if result.finished:
                by_first(print, f"evaluate it with: {evaluation_of(config, result.run_dir)}")
            if not result.finished or (result.signaled and number < len(configs)):
                return 130
            del result  # frees the state on the devices
            # Each program on a CPU holds memory mappings, and a process may have only 65,530.
            jax.clear_caches()
    return 0


def evaluation_of(config, run_dir) -> str:
    """The command that evaluates a run, by the protocol of its recipe."""
    own = config.objective.action and config.protocol != "clips"
    protocol = f" --protocol {config.protocol}" if own else ""
    return f"python -m eval action --run {run_dir}{protocol}"


if __name__ == "__main__":
    sys.exit(main())
