import json

from benchmarks.machines import END, START, main


def plan(path, target, *records):
    plans = [
        {"recipe": recipe, "stage": stage, "batch_size": 8, "accumulate": 1, "error": error}
        | {"compiles": not error, "fits": not error, "needed_bytes": None if error else 3 * 2**30}
        for recipe, stage, error in records
    ]
    content = {"format": 1, "jax": "0.10.1", "target": {"text": target}, "plans": plans}
    path.write_text(json.dumps(content))
    return str(path)


def test_writes_a_table_per_target_in_the_order_of_the_recipes(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(f"before\n{START}old\n{END}after\n")
    one = plan(tmp_path / "1", "h100", ("odabasi", "", ""), ("uf-tsn", "flow", "INTERNAL: a | b"))
    two = plan(tmp_path / "2", "v5e:2x4", ("uf-tsn", "flow", ""))
    assert main([one, two, "--page", str(page)]) == 0
    text = page.read_text()
    assert text.startswith("before\n") and text.endswith(f"{END}after\n") and "old" not in text
    assert text.index("## h100") < text.index("| uf-tsn flow") < text.index("| odabasi")
    assert "INTERNAL: a / b" in text and "3.0" in text and "## v5e:2x4" in text
    assert "Not compiled yet: actionflownet, " in text


def test_a_later_file_replaces_an_entry_and_other_files_are_errors(tmp_path, capsys):
    page = tmp_path / "page.md"
    page.write_text(START + END)
    old = plan(tmp_path / "1", "h100", ("odabasi", "", "no luck"))
    new = plan(tmp_path / "2", "h100", ("odabasi", "", ""))
    assert main([old, new, "--page", str(page)]) == 0
    assert "no luck" not in page.read_text()
    page.write_text("kept")
    (tmp_path / "3").write_text("{}")
    assert main([str(tmp_path / "3"), "--page", str(page)]) == 2
    assert "is not a plan" in capsys.readouterr().err and page.read_text() == "kept"
