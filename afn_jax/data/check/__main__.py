"""Is this dataset sound?

    python -m afn_jax.data.check ROOT

Reads the lists, decodes every video and prints what is there and what is wrong with it. The exit
code is 0 if nothing harms, 1 if something harms a training or the numbers measured on its test
videos, 2 after wrong usage.
"""

import argparse
import sys
from collections.abc import Iterable, Iterator

from afn_jax.data.check.doctor import Dataset, Finding, Inspected, counts, diagnose
from afn_jax.data.check.inspection import inspect_files
from afn_jax.data.check.listing import checked_sources, list_dataset


def main(arguments: list[str] | None = None) -> int:
    """The command; returns its exit code."""
    options = _parser().parse_args(arguments)
    span = (options.num_frames - 1) * options.stride + 1
    if min(options.num_frames, options.stride, options.list_number) < 1 or options.threads < 0:
        return _wrong("--num-frames, --stride and --list-number must be 1 or more, --threads 0")
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
    """The lines that the command prints: the counts, and each finding with its first examples."""
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
    yield f"{harmful} kinds of findings that harm" if harmful else "nothing that harms"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m afn_jax.data.check", description=__doc__.splitlines()[0]
    )
    add = parser.add_argument
    add("root", help="the folder of videos")
    add("--source", default="", help=f"{', '.join(checked_sources())}; guessed if not given")
    add("--annotations", default="", help="the lists, if they are elsewhere")
    add("--list-number", type=int, default=1, help="which of the official splits")
    add("--num-frames", type=int, default=16, help="frames in a clip")
    add("--stride", type=int, default=1, help="frames of the video from one to the next")
    add("--threads", type=int, default=0, help="that decode; 0: one for each core")
    add("--no-decode", action="store_true", help="look at lists and sizes only")
    add("--examples", type=int, default=5, help="shown of each finding")
    return parser


def _wrong(message: str) -> int:
    print(f"error: {message}", file=sys.stderr)
    return 2


def _first(names: tuple[str, ...], most: int) -> str:
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "")


def _progress(results: Iterable, total: int) -> Iterator:
    """The results; tells how far it is where somebody watches."""
    for count, result in enumerate(results, start=1):
        if sys.stderr.isatty() and (count % 50 == 0 or count == total):
            print(f"\r{count} of {total} files", end="", file=sys.stderr, flush=True)
        yield result
    if sys.stderr.isatty():
        print("\r", end="", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
