from afn_jax.near_names import unknown_name


def test_near_names_are_suggested():
    known = ("ucf101", "hmdb51", "kinetics")
    assert unknown_name("data.source", "ucf11", known) == (
        "data.source: got 'ucf11'. Did you mean ucf101?"
    )


def test_all_names_are_listed_where_none_is_near():
    assert unknown_name("data.source", "zzz", iter(("ucf101", "hmdb51"))) == (
        "data.source: got 'zzz'. Allowed are ucf101, hmdb51."
    )
