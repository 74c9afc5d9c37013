"""Suggestions for unknown names."""

from afn_jax.near_names import did_you_mean, did_you_mean_or_all, unknown_name

KNOWN = ("kernels", "flow_before", "flow_after")


def test_suggests_the_nearest_names_first():
    assert did_you_mean("flow_aftr", KNOWN) == "Did you mean flow_after or flow_before?"
    assert did_you_mean("zzz", KNOWN) == ""


def test_compares_keys_and_suggests_names():
    known = ("Walk Dog", "Jump")
    assert did_you_mean("WALK_DOG", known) == ""
    found = did_you_mean("WALK_DOG", known, key=lambda name: name.lower().replace("_", " "))
    assert found == "Did you mean Walk Dog?"


def test_lists_all_names_where_none_is_near():
    assert did_you_mean_or_all("kernel", KNOWN) == "Did you mean kernels?"
    message = unknown_name("model.field", "zzz", KNOWN)
    assert message == "model.field: got 'zzz'. Allowed are kernels, flow_before, flow_after."
