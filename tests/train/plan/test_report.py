from train.plan.report import GIB, describe, table

RECORD = {
    **{"recipe": "uf-tsn", "stage": "flow", "scale": "paper", "dtype": "float32"},
    **{"num_classes": 101, "num_classes_are": "as given", "batch_size": 8, "accumulate": 1},
    **{"devices": 2, "device_kind": "NVIDIA H100 80GB HBM3", "compiles": True, "error": ""},
    **{"compile_seconds": 61.2, "memory_bytes": 80 * GIB, "usable_bytes": 60 * GIB, "fits": False},
    "needed_bytes": 66 * GIB,
    "memory": {
        **{"parameters": GIB, "optimizer": 2 * GIB, "batch": 2**20, "next_batch": 2**20},
        **{"temporaries": 63 * GIB, "rest": 0, "total": 66 * GIB},
    },
    **{"largest_batch": 6, "largest_batch_is_exact": True, "fewest_parts": 2},
    "fewest_parts_is_exact": True,
    "operations": {"products": {"float32": 2e12}, "others": 1e12, "unknown_loops": 0},
    "traffic": {"memory": 5e11, "exchanged": 4e6, "collectives": 3, "sent": 4e6},
    "estimate": {
        **{"products": 0.01, "others": 0.02, "memory": 0.15, "exchange": 0.0, "total": 0.15},
        **{"bound": "memory", "clips_per_second": 53.3},
    },
}


def test_paragraph_has_every_figure():
    text = describe(RECORD)
    for words in (
        "uf-tsn --stage flow, batch 8, float32, on 2 x NVIDIA H100 80GB HBM3; 101 classes",
        "yes, in 61 s",
        "66.0 GiB per device of 80.0 GiB, of which JAX's default pool has 60.0 GiB: DOES NOT FIT",
        "parameters 1.0 GiB, optimizer 2.0 GiB, batch 1.0 MiB, next batch 1.0 MiB, temp",
        "XLA_PYTHON_CLIENT_MEM_FRACTION=0.85",
        "largest batch 6",
        "--optim.accumulate 2 is enough for batch 8",
        "3 TFLOP per step and device: 2 float32 products, 1 other",
        "500 GB",
        "3 collectives of 4 MB; each device sends 4 MB",
        "at least 150 ms per step",
        "at most 53 clips per second",
    ):
        assert words in text, text


def test_a_step_that_does_not_compile_says_why():
    failed = {"recipe": "odabasi", "stage": "", "scale": "toy", "batch_size": 8, "accumulate": 2}
    failed |= {"compiles": False, "error": "INTERNAL: no | tiles", "fits": False}
    assert "odabasi --scale toy, batch 8 in 2 parts" in describe(failed)
    assert "no: INTERNAL: no | tiles" in describe(failed)
    head, rule, row = table([failed]).splitlines()
    assert head.count("|") == rule.count("|") == row.count("|") and "no / tiles" in row


def test_table_says_what_fits():
    def fits(**changes):
        return table([RECORD | changes]).splitlines()[2].split("|")[4].strip()

    assert fits() == "only above JAX's default pool"
    assert fits(fits=True) == "yes"
    assert fits(needed_bytes=90 * GIB) == "no"
    assert fits(error="RESOURCE_EXHAUSTED: hbm", needed_bytes=90 * GIB) == "no"
