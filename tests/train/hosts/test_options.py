"""The options of `--distributed`."""

import re

import pytest

from train.hosts.options import HostOptions, take_host_options


def test_takes_its_options_and_leaves_the_others():
    arguments = "toy --distributed node1:1234 --num-processes=4 --steps 3 --process-id 0".split()
    found = HostOptions("node1:1234", 4, 0, 100)
    assert take_host_options(arguments) == (found, ["toy", "--steps", "3"])
    arguments = "toy --distributed auto --distributed-timeout 7".split()
    assert take_host_options(arguments) == (HostOptions(None, None, None, 7), ["toy"])
    arguments = "--distributed [::1]:1234 --num-processes 1 --process-id 0".split()
    assert take_host_options(arguments) == (HostOptions("[::1]:1234", 1, 0, 100), [])
    assert take_host_options(["toy"]) == (None, ["toy"])


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--num-processes 2", "--distributed-timeout need --distributed HOST:PORT"),
        ("--distributed auto --process-id 1", "auto finds --num-processes and --process-id itself"),
        ("--distributed node1", "got 'node1'; give auto, or HOST:PORT"),
        ("--distributed node1:x", "got 'node1:x'; give auto, or HOST:PORT"),
        ("--distributed http://a:1", "got 'http://a:1'; give auto, or HOST:PORT"),
        ("--distributed ::1:1", "got '::1:1'; give auto, or HOST:PORT"),
        ("--distributed a:65536", "got 'a:65536'; give auto, or HOST:PORT"),
        ("--distributed a:1 --num-processes 2", "needs --num-processes N and --process-id I"),
        (
            "--distributed a:1 --num-processes 2 --process-id 2",
            "--process-id: got 2 with --num-processes 2; processes are numbered from 0 to 1",
        ),
        ("--distributed a:1 --num-processes 0 --process-id 0", "--num-processes: got '0'; .* 1 or"),
        ("--distributed auto --distributed-timeout soon", "--distributed-timeout: got 'soon'"),
    ],
)
def test_rejects_options_that_do_not_fit_together(capsys, line, message):
    with pytest.raises(SystemExit) as stop:
        take_host_options(line.split())
    assert stop.value.code == 2
    assert re.search(message, capsys.readouterr().err)
