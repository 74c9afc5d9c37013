"""The comparison of class names, with values written by hand."""

import pytest

from train.class_names import (
    check_classes_of_run,
    check_same_classes,
    class_table,
    have_equal_names,
    labels_in_run,
    same_classes,
    spelling_difference,
)

RUN = ("jump", "run", "walk")


@pytest.mark.parametrize(
    "data, same, labels",
    [
        (("jump", "run", "walk"), True, (0, 1, 2)),
        (("Jump", "RUN ", "walk"), True, (0, 1, 2)),
        (("run", "jump", "walk"), False, None),
        (("hop", "run", "walk"), False, None),
        (("jump", "run", "walk", "wave"), False, None),
        (("jump", "walk"), False, (0, 2)),
        (("walk", "jump"), False, None),
        ((), False, ()),
    ],
)
def test_compares_names_and_order(data, same, labels):
    assert same_classes(RUN, data) == same
    assert labels_in_run(RUN, data) == labels


def test_classes_of_one_list_may_differ_in_spelling_alone():
    assert not same_classes(("Run", "run"), ("run", "Run"))
    assert labels_in_run(("Run", "run"), ("run",)) == (1,)


def test_finds_the_first_difference_in_spelling():
    names = ("jump", "riding a bike")
    assert spelling_difference(names, names) is None
    assert spelling_difference(names, ("jump", "Riding_a_bike")) == (
        "riding a bike",
        "Riding_a_bike",
    )
    assert spelling_difference(names, ("Riding_a bike",)) == ("riding a bike", "Riding_a bike")


def test_the_table_has_the_labels_that_differ():
    assert class_table(("a", "b", "c"), ("a", "c", "B_", "d"), ("runs/x", "data")) == (
        "  label  runs/x  data\n      1  b       c\n      2  c       B_\n      3  (none)  d"
    )


def test_a_class_whose_accents_are_decomposed_is_the_same():
    composed, decomposed = ("Caf\u00e9", "run"), ("Cafe\u0301", "run")
    assert same_classes(composed, decomposed)
    assert labels_in_run(composed, decomposed) == (0, 1)
    assert spelling_difference(composed, decomposed) == (composed[0], decomposed[0])


def test_classes_in_another_order_have_equal_names():
    assert have_equal_names(RUN, ("walk", "Jump", "run"))
    assert not have_equal_names(RUN, ("hop", "run", "walk"))
    assert not have_equal_names(RUN, ("run", "walk"))


def test_the_table_shows_names_of_any_characters_on_one_line():
    table = class_table(("new\nline", "bad\udcff"), ("a", "é"), ("run", "data"))
    assert table.splitlines() == [
        "  label  run        data",
        "      0  new\\nline  a",
        "      1  bad\\udcff  é",
    ]


def test_the_table_is_short():
    first = [f"class {i}" for i in range(30)]
    lines = class_table(first, first[::-1], ("a", "b")).splitlines()
    assert len(lines) == 22 and lines[-1] == "  and 10 more"


def check(data, **options):
    options = {"option": "--data.classes", "otherwise": "choose another --run-dir"} | options
    return check_classes_of_run("runs/x", RUN, data, **options)


def test_accepts_a_subset_only_where_it_is_allowed():
    assert check(("jump", "walk"), subset=True) == (0, 2)
    with pytest.raises(ValueError, match=r"only in the run: run\).*") as error:
        check(("jump", "walk"))
    assert str(error.value).endswith(
        "Rename or restore the classes of the data, or choose another --run-dir."
    )


@pytest.mark.parametrize("subset", [False, True])
def test_rejects_other_classes_with_both_lists_and_the_fix(subset):
    with pytest.raises(ValueError, match="the classes have other labels than in runs/x") as error:
        check(("run", "jump", "walk"), subset=subset)
    assert str(error.value).splitlines()[1:] == [
        "  label  runs/x  data",
        "      0  jump    run",
        "      1  run     jump",
        "Use the run's classes, in its order, with --data.classes jump run walk, or choose another "
        "--run-dir.",
    ]
    with pytest.raises(ValueError, match="only in the run: run; only in the data: hop"):
        check(("hop", "jump", "walk"), subset=subset)
    with pytest.raises(
        ValueError, match=r"only in the data: wave\)(.|\n)*--data.classes jump run walk"
    ):
        check((*RUN, "wave"), subset=subset)


def test_data_without_that_option_gets_no_advice_to_use_it():
    with pytest.raises(ValueError, match="run\nChoose another --run-dir.") as error:
        check(("jump", "walk", "run"), option="")
    assert "classes jump" not in str(error.value)


def test_names_a_file_for_many_classes(tmp_path):
    many = tuple(f"class number {i}" for i in range(50))
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "classes.txt").write_text("\n".join(many))
    with pytest.raises(ValueError, match="--classes .*classes.txt, or stop"):
        check_classes_of_run(tmp_path, many, many[::-1], option="--classes", otherwise="stop")


def test_compares_several_runs_with_the_first():
    check_same_classes([("a", RUN), ("b", ("Jump", "run", "walk"))], "no", "do this")
    with pytest.raises(ValueError, match="no:\n  label  a +c\n +0 +jump +run\n +1 .*\ndo this"):
        check_same_classes(
            [("a", RUN), ("b", RUN), ("c", ("run", "jump", "walk"))], "no", "do this"
        )
