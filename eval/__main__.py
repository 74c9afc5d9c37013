"""`python -m eval action | flow | probe | fuse | segments | export | video`: evaluates runs."""

import os
import sys

from afn_jax.command.process import run_as_process, work_starts
from train.errors import exit_cleanly

# Set before JAX starts: its CPU cache warns about harmless differences between machines.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

COMPILATION_CACHE = ".cache/jax"


def main() -> int:
    with exit_cleanly():  # the imports too: they take seconds
        import tyro

        from afn_jax.command.accelerator import start_jax
        from eval.action import ActionConfig, result_line, run_action
        from eval.export import ExportConfig, export_line, run_export
        from eval.flow import FlowConfig, flow_line, run_flow
        from eval.fuse import FuseConfig, fuse_line, run_fuse
        from eval.probe import ProbeConfig, probe_line, run_probe
        from eval.segments import SegmentsConfig, run_segments, segments_line
        from eval.video import VideoConfig, run_video

        # By name: the settings, and what prints lines of results.
        commands = {
            "action": (ActionConfig, lambda config: map(result_line, run_action(config))),
            "flow": (FlowConfig, lambda config: [flow_line(run_flow(config))]),
            "probe": (ProbeConfig, lambda config: [probe_line(run_probe(config))]),
            "fuse": (FuseConfig, lambda config: [fuse_line(run_fuse(config))]),
            "segments": (SegmentsConfig, lambda config: [segments_line(run_segments(config))]),
            "export": (ExportConfig, lambda config: [export_line(*run_export(config))]),
            "video": (VideoConfig, lambda config: sys.exit(run_video(config))),
        }
        config = tyro.extras.subcommand_cli_from_dict(
            {name: kind for name, (kind, _) in commands.items()},
            prog="python -m eval",
            description="Evaluates runs, flow methods and the fusion of streams; exports runs; "
            "classifies videos.",
            args=sys.argv[1:],
        )
        if not isinstance(config, FuseConfig):
            start_jax(COMPILATION_CACHE)
        work_starts()
        run = next(run for kind, run in commands.values() if kind is type(config))
        for line in run(config):
            print(line)
    return 0


if __name__ == "__main__":
    run_as_process(main, starting=True)
