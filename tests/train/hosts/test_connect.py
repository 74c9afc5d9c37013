"""What is noticed before the processes of a run connect."""

import os
import socket
import subprocess
import sys

import pytest

from tests.train.hosts.processes import ROOT, free_port
from train.hosts import connect
from train.hosts.options import HostOptions


def test_process_0_refuses_a_port_that_another_run_listens_at():
    """JAX's own listener allows a second one at its port, which would take its connections."""
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("", 0))
        other.listen()
        port = other.getsockname()[1]
        connect._check_port(HostOptions(f"localhost:{port}", 2, 1, 1))
        with pytest.raises(
            ValueError, match=f"process 0 cannot listen at localhost:{port} .*in use"
        ):
            connect._check_port(HostOptions(f"localhost:{port}", 2, 0, 1))


def test_a_port_is_free_once_its_connections_are_closed():
    options = HostOptions(f"localhost:{free_port()}", 2, 0, 1)
    place = ("127.0.0.1", int(options.address.rpartition(":")[2]))
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(place)
        listener.listen()
        with socket.create_connection(place) as client:
            accepted, _ = listener.accept()
            accepted.close()  # first, so the connection waits at this end
            assert client.recv(1) == b""
    connect._check_port(options)


def test_unknown_host_names_are_refused_at_once_except_in_kubernetes(monkeypatch):
    def unknown(*_):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    waits = []
    monkeypatch.setattr(connect.time, "sleep", waits.append)
    with pytest.raises(ValueError, match="does not know the host name node1 .*not known"):
        connect._check_name(HostOptions("node1:1234", 2, 1, 100))
    assert waits == []
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setattr(connect.time, "sleep", lambda _: waits.append(1) or monkeypatch.undo())
    connect._check_name(HostOptions("localhost:1234", 2, 1, 100))
    assert waits == [1]


def test_auto_finds_the_address_of_a_job_or_says_that_there_is_none(monkeypatch):
    for name in list(os.environ):
        if name.startswith(("SLURM", "OMPI", "KUBERNETES", "JAX_COORDINATOR", "TPU")):
            monkeypatch.delenv(name)
    auto = HostOptions(None, None, None, 7)
    with pytest.raises(ValueError, match="auto finds no job of SLURM .*give --distributed HOST:P"):
        connect._of_job(auto)
    job = {
        "JOB_ID": "7",
        "STEP_NODELIST": "node[1-2]",
        "NTASKS": "4",
        "PROCID": "0",
        "LOCALID": "1",
    }
    for name, value in job.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    found, devices = connect._of_job(auto)
    assert found == HostOptions("node1:61447", 4, 0, 7) and devices == [1]
    text = connect._nobody(found, auto=True)
    assert "not all 4 processes have connected to this one, process 0 at node1:61447" in text
    assert "--num-processes" not in text
    text = connect._nobody(HostOptions("node1:1234", 4, 2, 7), auto=False)
    assert "process 0 does not answer at node1:1234" in text and "--num-processes" in text


def test_an_abort_says_what_to_do():
    """An abort in C++, which calls no handler of Python in time."""
    code = (
        "import ctypes; from train.hosts.ending import explain_abort\n"
        "explain_abort(); ctypes.CDLL(None).abort()"
    )
    end = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert end.returncode == 1
    assert "error: JAX has ended this process" in end.stderr
