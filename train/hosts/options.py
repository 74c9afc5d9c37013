"""The options of `--distributed`. Does not import JAX, which starts with the address known."""

import dataclasses
import re

from train.command_line import fail, take_option

AUTO = "auto"
TIMEOUT_S = 100  # as JAX has it for lost processes

HOSTS_HELP = f"""\
Several processes, which share the work, each on its own devices; all run the same command:
  --distributed auto   find the other processes in a job of SLURM or Open MPI, on a TPU slice, or
                       in a job of Kubernetes, which needs: pip install kubernetes
  --distributed HOST:PORT --num-processes N --process-id I
                       the address of process 0, at a free port; I counts from 0 to N - 1
  --distributed-timeout SECONDS
                       how long to wait for the other processes at the start, and for one that has
                       fallen silent later; default {TIMEOUT_S}"""


@dataclasses.dataclass(frozen=True)
class HostOptions:
    """How the processes of a run find each other.

    Attributes:
        address: HOST:PORT of process 0; None: found in the environment.
        num_processes: number of processes; None: found in the environment.
        process_id: number of this process; None: found in the environment.
        timeout: seconds to wait for other processes.
    """

    address: str | None
    num_processes: int | None
    process_id: int | None
    timeout: int


def take_host_options(arguments: list[str]) -> tuple[HostOptions | None, list[str]]:
    """Returns the options, None for one process on its own, and the other arguments.

    Wrong options end the program with a message.
    """
    address, rest = take_option(arguments, "--distributed", "", AUTO)
    count, rest = take_option(rest, "--num-processes", "", "2")
    index, rest = take_option(rest, "--process-id", "", "0")
    timeout, rest = take_option(rest, "--distributed-timeout", "", str(TIMEOUT_S))
    if not address:
        if count or index or timeout:
            fail(
                "--num-processes, --process-id and --distributed-timeout need --distributed "
                f"HOST:PORT or --distributed {AUTO}."
            )
        return None, rest
    seconds = _number("--distributed-timeout", timeout or str(TIMEOUT_S), 1)
    if address == AUTO:
        if count or index:
            fail(
                f"--distributed {AUTO} finds --num-processes and --process-id itself: leave them "
                "out, or give the address, --distributed HOST:PORT."
            )
        return HostOptions(None, None, None, seconds), rest
    if not re.fullmatch(r"([^/:\[\]\s]+|\[[0-9a-fA-F:.]+\]):\d{1,5}", address) or not (
        0 < split_address(address)[1] < 65536
    ):
        fail(
            f"--distributed: got {address!r}; give {AUTO}, or HOST:PORT of process 0, such as "
            "node1:1234."
        )
    if not (count and index):
        fail(
            f"--distributed {address} needs --num-processes N and --process-id I, the number of "
            "this process, from 0."
        )
    processes, process = _number("--num-processes", count, 1), _number("--process-id", index, 0)
    if process >= processes:
        fail(
            f"--process-id: got {process} with --num-processes {processes}; processes are numbered "
            f"from 0 to {processes - 1}."
        )
    return HostOptions(address, processes, process, seconds), rest


def split_address(address: str) -> tuple[str, int]:
    """Returns the host and the port of HOST:PORT."""
    host, _, port = address.rpartition(":")
    return host, int(port)


def _number(option: str, text: str, least: int) -> int:
    if not text.isdecimal() or int(text) < least:
        fail(f"{option}: got {text!r}; give a whole number, {least} or more.")
    return int(text)
