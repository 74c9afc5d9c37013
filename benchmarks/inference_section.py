"""Writes the results of `benchmarks.inference` as text: one line per row, and tables."""

from typing import Any

Values = dict[str, Any]  # what `benchmarks.inference` writes as JSON, or one of its rows
WAYS = ("resident", "upload", "predict")

_ABOUT = """
One device, random kernels. Resident: from uint8 frames on the device to outputs on the device.
Upload: from frames on the host. Predict: also with all outputs, flow included, copied to the host,
as `python -m eval` does. The three take turns; the figures are medians. "11 x 96 x 96 as 1" is a
clip of 11 frames that counts as one frame in frames per second, as the paper counts or seems to.
The notes are below the tables."""
_TIMES = """
ms: per clip or batch, resident. fps: frames per second, counted in that way."""
_RATIOS = """
An absolute time means something on a GPU only, so the cells are ratios: processor time of all
threads per frame, counted in that way, relative to the first measured row of the table with
resident single clips. The column "paper's ratio" is computed likewise from the paper's figures."""
_REDUCED = """
**Reduced size**: all networks have width {width} instead of 64, and small frames, see "clip". The
ratios are therefore not comparable with the paper's. `--scale paper` on a GPU makes those that
are."""


def shows_times(result: Values) -> bool:
    """Returns whether absolute times mean something: not on a CPU."""
    return result["machine"]["platform"] != "cpu"


def summary_line(result: Values, row: Values) -> str:
    """Returns one line about a row, printed as soon as it is measured."""
    name = f"{row['name']:28}"
    if "not_here" in row:
        return f"{name} not here: {row['not_here']}"
    parts = []
    for clips, found in row["measured"].items():
        if "error" in found:
            text = found["error"]
        elif shows_times(result):
            fps = found["fps"]
            text = (
                f"{1000 * found['resident']['median']:.2f} ms, {fps['resident']:.1f} fps, "
                f"{fps['upload']:.1f} with upload, {fps['predict']:.1f} to the host"
            )
        else:
            base = found["resident"]["median"]
            ratios = [f"{way} {found[way]['median'] / base:.2f}" for way in WAYS[1:]]
            text = f"{', '.join(ratios)} times resident"
        parts.append(f"batch {clips}: {text}")
    return f"{name} {'; '.join(parts)}; paper: {_figure(row)}"


def section(result: Values) -> tuple[str, str]:
    """Returns the title and the text of a section of docs/benchmarks.md."""
    times = shows_times(result)
    title = f"Inference as in the papers, {result['machine']['platform'].upper()}"
    if result["dtype"] != "float32":
        title += f", {result['dtype']}"
    text = [f"`{result['command']}`, {result['code']}, {result['dtype']}.", _ABOUT]
    text.append(_TIMES if times else _RATIOS)
    if result["scale"] == "reduced":
        width = next((row["width"] for row in result["rows"] if "width" in row), "")
        text.append(_REDUCED.format(width=width))
    notes: list[str] = []
    tables: dict[str, list[Values]] = {}
    for row in result["rows"]:
        tables.setdefault(row["table"], []).append(row)
    for name, rows in tables.items():
        text += [f"\n### {name}\n", _table(rows, result["batches"], times, notes)]
    if notes:
        text += ["\n### What the papers do not report, by number of the note\n"]
        text += [f"{number}. {note}" for number, note in enumerate(notes, 1)]
    return title, "\n".join(text)


def _table(rows: list[Values], batches: list[int], times: bool, notes: list[str]) -> str:
    """Writes one table; `notes` collects what is guessed."""
    head = ["row", "paper", "network", "clip"] + ([] if times else ["paper's ratio"])
    for clips in batches:
        columns = ["ms", *(f"fps, {way}" for way in WAYS)] if times else WAYS
        head += [f"batch {clips}: {column}" for column in columns]
    head.append("notes")
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    first = _reference(rows)
    for row in rows:
        cells = [row["row"], f"{_figure(row)}; {row['paper_card']}"]
        if "not_here" in row:
            cells += [f"not here: {row['not_here']}"]
            cells += [""] * (len(head) - len(cells))
        else:
            clip = " x ".join(map(str, row["clip"]))
            clip += f", width {row['width']} (reduced)," if row["reduced"] else ""
            cells += [" + ".join(row["networks"])]
            cells += [f"{clip} as {row['frames_per_clip_as_counted']}"]
            if not times:
                cells.append(_ratio(row["paper_seconds_per_frame"], first, "paper"))
            for clips in batches:
                cells += _cells(row, clips, times, first)
            cells.append(_note_number(row["guessed"], notes))
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cells(row: Values, clips: int, times: bool, first: Values | None) -> list[str]:
    found = row["measured"][str(clips)]
    if "error" in found:
        return [found["error"]] + [""] * (len(WAYS) - 1 + times)
    if times:
        fps = [f"{found['fps'][way]:.1f}" for way in WAYS]
        return [f"{1000 * found['resident']['median']:.2f}", *fps]
    return [_ratio(1 / found["fps"][way], first, "ours") for way in WAYS]


def _reference(rows: list[Values]) -> Values | None:
    """Returns the seconds per frame of the first row that the paper has a figure of and we too."""
    for row in rows:
        single = row.get("measured", {}).get("1", {})
        if "fps" in single and row["paper_figure"] is not None:
            return {"paper": row["paper_seconds_per_frame"], "ours": 1 / single["fps"]["resident"]}
    return None


def _ratio(seconds: float | None, first: Values | None, whose: str) -> str:
    return "" if seconds is None or first is None else f"{seconds / first[whose]:.2f}"


def _figure(row: Values) -> str:
    if row["paper_figure"] is None:
        return "none"
    return f"{row['paper_figure']:g} {row['paper_unit']}"


def _note_number(note: str, notes: list[str]) -> str:
    if not note:
        return ""
    if note not in notes:
        notes.append(note)
    return str(notes.index(note) + 1)
