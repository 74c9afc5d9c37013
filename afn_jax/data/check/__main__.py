"""Checks a dataset: reads its lists, decodes every video and prints counts and problems.

    afn-jax check ROOT

`python -m afn_jax.data.check ROOT` is the same.

The exit code is 0 if there is no harmful problem, 1 if a problem would stop training or make the
numbers measured on the test videos wrong, and 2 after wrong usage. With --shard or --distributed,
several runs share the files, and the last one to finish prints.
"""

import argparse
import re
import shutil
import sys
import textwrap
from collections.abc import Iterable, Iterator, Sequence

from afn_jax.any_bytes import print_any_name
from afn_jax.data.check.dataset import Dataset, Finding, Inspected
from afn_jax.data.check.doctor import counts, diagnose
from afn_jax.data.check.inspection import inspect_files
from afn_jax.data.check.kind_table import LISTED, kind_table
from afn_jax.data.check.listing import FLOW_KIND, checked_sources, list_dataset
from afn_jax.data.check.parts import join_parts, part_of
from afn_jax.data.config import DataConfig
from afn_jax.data.prepare.share import share_of
from afn_jax.near_names import printable


def main(arguments: Sequence[str] | None = None, prog: str = "python -m afn_jax.data.check") -> int:
    """Runs the command and returns its exit code. `prog` is its name in the usage."""
    print_any_name()
    options = _parser(prog).parse_args(arguments)
    span = (options.num_frames - 1) * options.stride + 1
    if min(options.num_frames, options.stride, options.list_number) < 1 or options.threads < 0:
        return _wrong(
            "--num-frames, --stride and --list-number must be at least 1, --threads at least 0"
        )
    try:
        share = share_of(
            options.shard, options.distributed, options.num_processes, options.process_id
        )
        if share[1] > 1 and not options.parts:
            raise ValueError("parts: got none; give a folder that all runs share with --parts")
        dataset, paths = list_dataset(
            options.root,
            options.source,
            options.annotations,
            options.list_number,
            options.frame_names,
        )
    except ValueError as error:
        return _wrong(str(error))
    own = part_of(paths, share)
    files = inspect_files(
        paths,
        decode=not options.no_decode,
        num_threads=options.threads or None,
        progress=lambda results: _progress(results, len(own)),
        frame_names=options.frame_names,
        only=own,
    )
    if share[1] > 1:
        settings = f"{options.no_decode} {options.frame_names}"
        try:
            files = join_parts(options.parts, share, files, paths, settings)
        except (ValueError, OSError) as error:
            return _wrong(str(error))
        if files is None:
            print(f"checked {len(own)} of {len(paths)} files; the last run prints the report")
            return 0
    if dataset.kind == FLOW_KIND:
        span = 1  # these are not cut into clips
    findings = diagnose(dataset, files, span)
    for line in report(dataset, files, findings, span, options.examples):
        print(_folded(line))
    return int(any(finding.harmful for finding in findings))


def report(
    dataset: Dataset,
    files: dict[str, Inspected],
    findings: tuple[Finding, ...],
    span: int,
    examples: int,
) -> Iterator[str]:
    """Yields the lines to print: the counts, what lies in the folder, then each finding."""
    classes = f", {len(dataset.class_names)} classes: " + _first(dataset.class_names, 5)
    yield dataset.kind + (classes if dataset.class_names else "")
    yield f"{'':<20} {'train':>8} {'test':>8}"
    for what, train, test in counts(dataset, files, span):
        yield f"{what:<20} {train:>8} {test:>8}"
    yield f"{'kind':<20} {'files':>8}"
    for kind, count, example, became in kind_table(dataset, files):
        example = "" if became == LISTED else f"; {'first: ' if count > 1 else ''}{example}"
        yield f"{kind:<20} {count:>8}  {became}{example}"
    for finding in findings:
        yield f"{'HARM' if finding.harmful else 'note'} {len(finding.items):>6}  {finding.what}"
        for item in finding.items[:examples]:
            yield f"             {item}"
        if len(finding.items) > examples:
            yield f"             and {len(finding.items) - examples} more"
    harmful = sum(finding.harmful for finding in findings)
    yield f"{harmful or 'no'} harmful problem{'' if harmful == 1 else 's'} found"


def _parser(prog: str) -> argparse.ArgumentParser:
    description = (
        "Checks a dataset: reads its lists, decodes every video and prints counts and problems."
    )
    parser = argparse.ArgumentParser(prog=prog, description=description)
    add = parser.add_argument
    add("root", help="folder of the videos")
    add(
        "--source",
        default="",
        help=f"{', '.join(checked_sources())}; default: guessed from the files",
    )
    add("--annotations", default="", help="file or folder of the lists, if elsewhere")
    default = DataConfig()
    add("--list-number", type=int, default=default.list_number, help="number of the split (1)")
    add("--num-frames", type=int, default=default.num_frames, help="frames per clip (%(default)s)")
    add("--stride", type=int, default=default.stride, help="step between them (%(default)s)")
    add(
        "--frame-names",
        default="",
        help="names of the frames in folders, such as 'img_*' or 'rgb/*'",
    )
    add("--shard", default="", help="i/n: this is the i-th of n runs that share the files")
    add(
        "--distributed",
        default="",
        metavar="auto|HOST:PORT",
        help="the same with the options of python -m train: auto finds the share in a job of SLURM "
        "or Open MPI and on a TPU slice; otherwise give the next two. The address is not used",
    )
    add("--num-processes", type=int, help="number of these runs")
    add("--process-id", type=int, help="number of this run, from 0")
    add("--distributed-timeout", type=int, help="not used: these runs do not wait for each other")
    add("--parts", default="", help="folder that these runs share, for their results")
    add("--threads", type=int, default=0, help="decoding threads; 0: one per core")
    add("--no-decode", action="store_true", help="check lists and file sizes only")
    add("--examples", type=int, default=5, help="examples to print per problem (%(default)s)")
    return parser


def _wrong(message: str) -> int:
    print(f"error: {message}", file=sys.stderr)
    return 2


def _first(names: tuple[str, ...], most: int) -> str:
    return ", ".join(map(printable, names[:most])) + (", ..." if len(names) > most else "")


def _folded(line: str) -> str:
    """Breaks a line between words at the width of the terminal; a file gets whole lines."""
    if not sys.stdout.isatty():
        return line
    columns = re.match(r" {13}|(HARM|note) +\d+  |.{20} {1,8}\d+  ", line)
    lines = textwrap.wrap(
        line,
        max(60, shutil.get_terminal_size().columns - 1),
        subsequent_indent=" " * (columns.end() + 2 if columns else 4),
        break_long_words=False,
        break_on_hyphens=False,
    )
    return "\n".join(lines)


def _progress(results: Iterable, total: int) -> Iterator:
    """Yields the results; shows progress if standard error is a terminal."""
    for count, result in enumerate(results, start=1):
        if sys.stderr.isatty() and (count % 50 == 0 or count == total):
            print(f"\r{count} of {total} files", end="", file=sys.stderr, flush=True)
        yield result
    if sys.stderr.isatty():
        print("\r" + " " * len(f"{total} of {total} files") + "\r", end="", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
