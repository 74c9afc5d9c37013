"""The table of datasets in the documentation."""

from benchmarks.describe_datasets import PATH, rows


def name_of(row: str) -> str:
    return (row.split("|") + [""])[1]


def test_documentation_agrees_with_the_table_of_sources():
    """A dataset that was added since may be missing there, until the command is run again."""
    expected = {name_of(row): row for row in rows() if row.startswith("| `")}
    table = PATH.read_text().partition("table: begin -->")[2].partition("<!-- table: end")[0]
    documented = {name_of(line): line for line in table.splitlines() if name_of(line) in expected}
    assert len(documented) > 15
    assert documented == {name: expected[name] for name in documented}
