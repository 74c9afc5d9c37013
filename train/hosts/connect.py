"""Connects the processes of a run, before JAX looks for devices."""

import os
import socket
import sys
import threading

import jax

from train.hosts.options import AUTO, HostOptions


def connect(options: HostOptions) -> None:
    """Waits for the other processes of the run. The devices of all are in `jax.devices()`.

    A process that finds nobody within the time limit prints so and ends with exit code 1.

    Raises:
        ValueError: the environment does not describe the processes, or the port is in use.
    """
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    # It would swallow SIGTERM while a run starts. During training, see `train.hosts.agreement`.
    jax.config.update("jax_enable_preemption_service", False)
    # JAX would abort with the stack of its C++ code.
    giving_up = threading.Timer(options.timeout, _give_up, (options,))
    giving_up.daemon = True
    giving_up.start()
    try:
        jax.distributed.initialize(
            options.address,
            options.num_processes,
            options.process_id,
            cluster_detection_method="deactivate" if options.address else None,
            initialization_timeout=options.timeout + 60,
            heartbeat_timeout_seconds=options.timeout,
        )
    except ValueError as error:
        raise ValueError(
            f"--distributed {AUTO}: JAX finds no SLURM, Open MPI, Kubernetes or TPU job here "
            f"({error}). Start it through one (srun, mpirun), or give --distributed HOST:PORT "
            "--num-processes N --process-id I."
        ) from None
    except RuntimeError as error:
        if "Failed to start RPC server" not in str(error):
            raise ValueError(f"--distributed: {error}") from None
        raise ValueError(
            f"--distributed: process 0 cannot listen at {options.address or 'its port'} "
            f"({error}). Another program may use the port: choose another one."
        ) from None
    finally:
        giving_up.cancel()


def _give_up(options: HostOptions) -> None:
    where = options.address or "the address that the job's environment gives"
    if options.process_id == 0:
        what = (
            f"not all {options.num_processes} processes have connected to this one, process 0 at "
            f"{where}"
        )
    else:
        what = f"process 0 does not answer at {where}, or waits for other processes"
    print(
        f"\nerror: --distributed: {what}, after {options.timeout} seconds. Check that all "
        "processes were started, that their hosts reach this address (firewall, name), and that "
        "all have the same --num-processes and each its own --process-id. "
        "--distributed-timeout waits longer.",
        file=sys.stderr,
        flush=True,
    )
    os._exit(1)


def this_process() -> str:
    """Names this process and its host."""
    return f"process {jax.process_index()} on {socket.gethostname()}"
