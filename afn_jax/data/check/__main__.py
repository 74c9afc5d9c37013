"""Checks a dataset: reads its lists, decodes every video and prints counts and problems.

    python -m afn_jax.data.check ROOT

The exit code is 0 if there is no harmful problem, 1 if a problem would stop training or make the
numbers measured on the test videos wrong, and 2 after wrong usage.
"""

import argparse
import sys
from collections.abc import Iterable, Iterator

from afn_jax.data.check.doctor import Dataset, Finding, Inspected, counts, diagnose
from afn_jax.data.check.inspection import inspect_files
from afn_jax.data.check.listing import checked_sources, list_dataset
from afn_jax.data.config import DataConfig


def main(arguments: list[str] | None = None) -> int:
    """Runs the command and returns its exit code."""
    options = _parser().parse_args(arguments)
    span = (options.num_frames - 1) * options.stride + 1
    if min(options.num_frames, options.stride, options.list_number) < 1 or options.threads < 0:
        return _wrong(
            "--num-frames, --stride and --list-number must be at least 1, --threads at least 0"
        )
    try:
        dataset, paths = list_dataset(
            options.root, options.source, options.annotations, options.list_number
        )
    except ValueError as error:
        return _wrong(str(error))
    files = inspect_files(
        paths,
        decode=not options.no_decode,
        num_threads=options.threads or None,
        progress=lambda results: _progress(results, len(paths)),
    )
    findings = diagnose(dataset, files, span)
    for line in report(dataset, files, findings, span, options.examples):
        print(line)
    return int(any(finding.harmful for finding in findings))


def report(
    dataset: Dataset,
    files: dict[str, Inspected],
    findings: tuple[Finding, ...],
    span: int,
    examples: int,
) -> Iterator[str]:
    """Yields the lines to print: the counts, then each finding with its first examples."""
    yield f"{dataset.kind}, {len(dataset.class_names)} classes: " + _first(dataset.class_names, 5)
    yield f"{'':<20} {'train':>8} {'test':>8}"
    for what, train, test in counts(dataset, files, span):
        yield f"{what:<20} {train:>8} {test:>8}"
    for finding in findings:
        yield f"{'HARM' if finding.harmful else 'note'} {len(finding.items):>6}  {finding.what}"
        for item in finding.items[:examples]:
            yield f"             {item}"
        if len(finding.items) > examples:
            yield f"             and {len(finding.items) - examples} more"
    harmful = sum(finding.harmful for finding in findings)
    yield f"{harmful or 'no'} harmful problem{'' if harmful == 1 else 's'} found"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m afn_jax.data.check", description=__doc__.splitlines()[0]
    )
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
    add("--threads", type=int, default=0, help="decoding threads; 0: one per core")
    add("--no-decode", action="store_true", help="check lists and file sizes only")
    add("--examples", type=int, default=5, help="examples to print per problem (%(default)s)")
    return parser


def _wrong(message: str) -> int:
    print(f"error: {message}", file=sys.stderr)
    return 2


def _first(names: tuple[str, ...], most: int) -> str:
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "")


def _progress(results: Iterable, total: int) -> Iterator:
    """Yields the results; shows progress if standard error is a terminal."""
    for count, result in enumerate(results, start=1):
        if sys.stderr.isatty() and (count % 50 == 0 or count == total):
            print(f"\r{count} of {total} files", end="", file=sys.stderr, flush=True)
        yield result
    if sys.stderr.isatty():
        print("\r", end="", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
