"""The table of the first claim."""

from study.first_claim import table_of


def test_table_has_the_student_t_interval_of_the_mean():
    """2, 4, 6 have mean 4 and standard deviation 2; t is 4.3027 for 2 degrees of freedom."""
    flow = {"epe": 0.5, "zero_flow_epe": 0.75}
    rows = table_of(
        {
            "joint": [{"top1": value, **flow} for value in (0.2, 0.4, 0.6)],
            "action": [{"top1": value} for value in (0.364, 0.394)],
        }
    ).splitlines()
    assert rows[2] == "| joint | 0.200, 0.400, 0.600 | 0.400 ± 0.497 | 0.50 / 0.75 |"
    assert rows[3] == "| action | 0.364, 0.394 | 0.379 ± 0.191 | - |"
