"""`python -m eval action | flow | probe | fuse | segments | export | video`: evaluates runs.

With `--distributed`, it is one of several processes that share the videos: see `train.hosts`.
"""

import os
import sys

from afn_jax.command.process import run_as_process, work_starts
from train.errors import exit_cleanly
from train.hosts.ending import ends_at_once

# Set before JAX starts: its CPU cache warns about harmless differences between machines.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

COMPILATION_CACHE = ".cache/jax"
# Why other commands run in one process.
ALONE = {
    "fuse": "it reads saved scores",
    "export": "it writes one file",
    "video": "give each process its own videos and --out",
}


def main() -> int:
    with ends_at_once(), exit_cleanly():  # the imports too: they take seconds
        import tyro
        from rich.console import Console

        from afn_jax.command.accelerator import start_jax
        from eval.action import ActionConfig, result_line, run_action
        from eval.export import ExportConfig, export_line, run_export
        from eval.flow import FlowConfig, flow_line, run_flow
        from eval.fuse import FuseConfig, fuse_line, run_fuse
        from eval.probe import ProbeConfig, probe_line, run_probe
        from eval.segments import SegmentsConfig, run_segments, segments_line
        from eval.video import VideoConfig, run_video
        from train.command_line import fail
        from train.hosts.checks import check_same_settings
        from train.hosts.connect import connect
        from train.hosts.options import HOSTS_HELP, take_host_options
        from train.hosts.together import by_first, explains_lost_process, fails_together, leads

        # By name: the settings, and what returns lines of results.
        commands = {
            "action": (ActionConfig, lambda *given: map(result_line, run_action(*given))),
            "flow": (FlowConfig, lambda *given: [flow_line(run_flow(*given))]),
            "probe": (ProbeConfig, lambda *given: [probe_line(run_probe(*given))]),
            "fuse": (FuseConfig, lambda *given: [fuse_line(run_fuse(*given))]),
            "segments": (SegmentsConfig, lambda *given: [segments_line(run_segments(*given))]),
            "export": (ExportConfig, lambda *given: [export_line(*run_export(*given))]),
            "video": (VideoConfig, lambda config: sys.exit(run_video(config))),
        }
        hosts, arguments = take_host_options(sys.argv[1:])
        config = tyro.extras.subcommand_cli_from_dict(
            {name: kind for name, (kind, _) in commands.items()},
            prog="python -m eval",
            description="Evaluates runs, flow methods and the fusion of streams; exports runs; "
            f"classifies videos.\n\n{HOSTS_HELP}",
            args=arguments,
        )
        name, run = next((n, run) for n, (kind, run) in commands.items() if kind is type(config))
        if hosts is not None:
            if name in ALONE:
                fail(f"--distributed: {name} runs in one process ({ALONE[name]}); leave it out.")
            connect(hosts)
        if name != "fuse":
            start_jax(COMPILATION_CACHE)
        work_starts()
        if hosts is None:
            for line in run(config):
                print(line)
            return 0
        with explains_lost_process(), fails_together():
            check_same_settings(config)
            lines = list(run(config) if leads() else run(config, Console(quiet=True)))
            by_first(print, *lines, sep="\n")
    return 0


if __name__ == "__main__":
    run_as_process(main, starting=True)
