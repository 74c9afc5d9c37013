"""Writes the table of datasets in `docs/data.md` from `afn_jax.data.sources.SOURCES`.

python -m benchmarks.describe_datasets
"""

import argparse
from pathlib import Path

from afn_jax.data.sources import SOURCES

PATH = Path(__file__).resolve().parent.parent / "docs" / "data.md"
START, END = "<!-- table: begin -->\n", "<!-- table: end -->\n"


def rows() -> list[str]:
    """Returns the lines of the table: names, what each dataset is, its folder, its split."""
    lines = ["| `--data` | dataset | `--data.root` | split and labels |", "|---|---|---|---|"]
    for name, spec in SOURCES.items():
        root = spec.root or "may be left out"
        lines.append(f"| `{name}` | {spec.about} | {root} | {spec.split} |")
    return lines


def main() -> None:
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    before, _, rest = PATH.read_text().partition(START)
    after = rest.partition(END)[2]
    PATH.write_text(before + START + "\n".join(rows()) + "\n" + END + after)


if __name__ == "__main__":
    main()
