"""`python -m eval` on runs of `tests.train.hosts.small_main`. Run as a program.

`COMMAND --then COMMAND` runs several in one process, which connects to the others once.
"""

import itertools
import sys

import eval.flow_methods
import eval.predict
import train.hosts.connect
import train.hosts.options
from afn_jax.command.process import run_as_process
from eval.__main__ import main
from tests.small_run import build_small_network

eval.flow_methods.build_model = build_small_network
eval.predict.build_model = build_small_network


def main_of_each() -> int:
    """Runs the commands in turn."""
    hosts, arguments = train.hosts.options.take_host_options(sys.argv[1:])
    train.hosts.options.take_host_options = lambda rest: (hosts, rest)
    for between, command in itertools.groupby(arguments, "--then".__eq__):
        if not between:
            sys.argv[1:] = command
            main()
            train.hosts.connect.connect = lambda hosts: None
    return 0


if __name__ == "__main__":
    run_as_process(main_of_each, starting=True)
