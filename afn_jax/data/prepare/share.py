"""The share of a process in the preparation or the check of a dataset.

It is given by `--shard` or by the options of `--distributed`. The processes do not connect.
"""

import os
import re
from collections.abc import Mapping

AUTO = "auto"
# Variables with the number of processes and the number of this one, from 0. A list of hosts counts.
_ENVIRONMENTS = (
    ("SLURM_NTASKS", "SLURM_PROCID"),
    ("OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK"),
    ("TPU_WORKER_HOSTNAMES", "TPU_WORKER_ID"),
)


def share_of(
    shard: str,
    distributed: str = "",
    num_processes: int | None = None,
    process_id: int | None = None,
    environment: Mapping[str, str] = os.environ,
) -> tuple[int, int]:
    """Returns (i, n): this is the i-th of n processes, from 1.

    Args:
        shard: "i/n", or "" for one process or with `distributed`.
        distributed: "auto" to read the environment, or an address, which is not used; "": neither.
        num_processes: n, with an address.
        process_id: i - 1, with an address.
        environment: the variables that SLURM, Open MPI and TPU hosts set.

    Raises:
        ValueError: the options contradict each other or are incomplete.
    """
    given = (num_processes, process_id)
    if not distributed:
        if given != (None, None):
            raise ValueError(
                "num_processes and process_id need --distributed HOST:PORT or --distributed auto"
            )
        return _parsed(shard) if shard else (1, 1)
    if shard:
        raise ValueError(f"shard: got {shard!r} and --distributed; give one of them")
    if distributed == AUTO:
        if given != (None, None):
            raise ValueError(
                "distributed: auto finds --num-processes and --process-id itself; leave them out"
            )
        num_processes, process_id = _found(environment)
    if num_processes is None or process_id is None:
        raise ValueError(
            f"distributed: {distributed} needs --num-processes N and --process-id I, the number of "
            "this process, from 0"
        )
    if not 0 <= process_id < num_processes:
        raise ValueError(
            f"process_id: got {process_id} with --num-processes {num_processes}; processes are "
            "numbered from 0"
        )
    return process_id + 1, num_processes


def _parsed(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d+)/(\d+)", text)
    if not match or not 1 <= int(match[1]) <= int(match[2]):
        raise ValueError(f"shard: got {text!r}; give i/n with i from 1 to n, such as 1/4")
    return int(match[1]), int(match[2])


def _found(environment: Mapping[str, str]) -> tuple[int, int]:
    for count, index in _ENVIRONMENTS:
        if environment.get(count) and environment.get(index, "").isdecimal():
            value = environment[count]
            number = int(value) if value.isdecimal() else len(value.split(","))
            return number, int(environment[index])
    raise ValueError(
        "distributed: auto finds no job of SLURM or Open MPI and no TPU slice in the environment; "
        "start it with srun or mpirun, or give --shard i/n, as in Kubernetes"
    )
