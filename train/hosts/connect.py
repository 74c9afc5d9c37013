"""Connects the processes of a run, before JAX looks for devices."""

import os
import socket
import sys
import threading
import time
from collections.abc import Sequence
from typing import NoReturn

import jax
from jax._src import clusters

from train.hosts.ending import explain_abort
from train.hosts.options import AUTO, HostOptions, split_address

_RETRY_S = 1.0  # guessed


def connect(options: HostOptions) -> None:
    """Waits for the other processes of the run. The devices of all are in `jax.devices()`.

    A process that finds nobody within the time limit prints so and ends with exit code 1; one that
    is interrupted meanwhile ends with 130.

    Raises:
        ValueError: the environment does not describe the processes, the address is not known, or
            the port is in use.
    """
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    # It would swallow SIGTERM while a run starts. During training, see `train.hosts.agreement`.
    jax.config.update("jax_enable_preemption_service", False)
    explain_abort()
    attempt = _Attempt(options)
    # In a thread, because JAX waits in C++, where Ctrl-C is not handled.
    threading.Thread(target=attempt.run, name="connect", daemon=True).start()
    try:
        over = attempt.over.wait(options.timeout)
    except KeyboardInterrupt:
        _end("interrupted", 130)
    if not over:
        _end(f"error: --distributed: {_nobody(attempt.options, auto=not options.address)}", 1)
    if attempt.error is not None:
        if jax.distributed.is_initialized():  # the usual end would wait for the others
            _end(f"error: --distributed: {attempt.error}", 1)
        raise attempt.error


class _Attempt:
    """Connecting in a thread of its own.

    Attributes:
        options: with what the environment gave, once it is known.
        error: why it failed.
        over: whether it has ended.
    """

    def __init__(self, options: HostOptions):
        self.options, self.over = options, threading.Event()
        self.error: Exception | None = None

    def run(self) -> None:
        try:
            self._connect()
        except Exception as error:
            self.error = error
        self.over.set()

    def _connect(self) -> None:
        devices = None
        if self.options.address is None:
            self.options, devices = _of_job(self.options)
        _check_name(self.options)
        _check_port(self.options)
        jax.distributed.initialize(
            self.options.address,
            self.options.num_processes,
            self.options.process_id,
            local_device_ids=devices,
            cluster_detection_method="deactivate",
            # Later than ours: JAX would abort with the stack of its C++ code.
            initialization_timeout=self.options.timeout + 60,
            heartbeat_timeout_seconds=self.options.timeout,
        )


def _of_job(options: HostOptions) -> tuple[HostOptions, Sequence[int] | None]:
    """Returns the options as the job's environment gives them, and the devices of this process."""
    try:
        # As `jax.distributed.initialize` does it, which does not tell the address that it found.
        *found, devices = clusters.ClusterEnv.auto_detect_unset_distributed_params(
            os.environ.get("JAX_COORDINATOR_ADDRESS"), None, None, None, None, options.timeout
        )
    except Exception as error:
        raise ValueError(f"--distributed {AUTO}: {error}") from error
    if None in found:
        raise ValueError(
            f"--distributed {AUTO} finds no job of SLURM or Open MPI, no TPU slice and, with the "
            "package kubernetes, no job of Kubernetes here. Start it through one (srun, mpirun), "
            "or give --distributed HOST:PORT --num-processes N --process-id I."
        )
    if "JAX_LOCAL_DEVICE_IDS" in os.environ:  # JAX reads it
        devices = None
    return HostOptions(*found, options.timeout), devices


def _check_name(options: HostOptions) -> None:
    host, _ = split_address(options.address)
    deadline = time.monotonic() + options.timeout
    while True:
        try:
            socket.getaddrinfo(host.strip("[]"), None)
            return
        except OSError as error:
            # Kubernetes knows the name of a pod only once the pod has started.
            if "KUBERNETES_SERVICE_HOST" not in os.environ or time.monotonic() > deadline:
                raise ValueError(
                    f"--distributed: this host does not know the host name {host} ({error}). Give "
                    "the name or the IP address of the host of process 0."
                ) from None
        time.sleep(_RETRY_S)


def _check_port(options: HostOptions) -> None:
    """Raises ValueError if process 0 cannot listen: JAX would crash, or break another run."""
    if options.process_id != 0:
        return
    _, port = split_address(options.address)
    both = socket.has_dualstack_ipv6()
    with socket.socket(socket.AF_INET6 if both else socket.AF_INET) as probe:
        # Closed connections of an earlier run do not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if both:
            probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        try:
            probe.bind(("", port))
        except OSError as error:
            raise ValueError(
                f"--distributed: process 0 cannot listen at {options.address} "
                f"({error.strerror}). Another run, or an earlier one that has not ended, may use "
                f"the port: end it, or choose another port in all processes (with {AUTO}: set "
                "JAX_COORDINATOR_PORT)."
            ) from None


def _nobody(options: HostOptions, *, auto: bool) -> str:
    after = f"after {options.timeout} seconds"
    if options.address is None:
        return f"{AUTO} has not found the address of process 0 {after}."
    if options.process_id == 0:
        what = (
            f"not all {options.num_processes} processes have connected to this one, process 0 at "
            f"{options.address}"
        )
    else:
        what = f"process 0 does not answer at {options.address}, or waits for other processes"
    same = "" if auto else ", that all have the same --num-processes and each its own --process-id"
    return (
        f"{what}, {after}. Check that all processes were started{same}, and that their hosts reach "
        "this address (firewall, name). --distributed-timeout waits longer."
    )


def _end(text: str, code: int) -> NoReturn:
    print(f"\n{text}", file=sys.stderr, flush=True)
    os._exit(code)


def this_process() -> str:
    """Names this process and its host."""
    return f"process {jax.process_index()} on {socket.gethostname()}"
