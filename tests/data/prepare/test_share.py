"""The share of a process in the preparation of a dataset."""

import pytest

from afn_jax.data.prepare.share import share_of


@pytest.mark.parametrize(
    ("options", "share"),
    [
        ({"shard": ""}, (1, 1)),
        ({"shard": "2/4"}, (2, 4)),
        ({"shard": "", "distributed": "a:1", "num_processes": 4, "process_id": 3}, (4, 4)),
    ],
)
def test_options(options, share):
    assert share_of(**options) == share


@pytest.mark.parametrize(
    ("environment", "share"),
    [
        ({"SLURM_NTASKS": "4", "SLURM_PROCID": "0", "SLURM_JOB_ID": "7"}, (1, 4)),
        ({"OMPI_COMM_WORLD_SIZE": "2", "OMPI_COMM_WORLD_RANK": "1"}, (2, 2)),
        ({"TPU_WORKER_HOSTNAMES": "10.0.0.1,10.0.0.2,10.0.0.3", "TPU_WORKER_ID": "2"}, (3, 3)),
        ({"TPU_WORKER_HOSTNAMES": "localhost", "TPU_WORKER_ID": "0"}, (1, 1)),
    ],
)
def test_auto_reads_the_environment(environment, share):
    assert share_of("", "auto", environment=environment) == share


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"shard": "0/4"}, "shard: got '0/4'; give i/n with i from 1 to n"),
        ({"shard": "1/2", "distributed": "auto"}, "shard: got '1/2' and --distributed"),
        ({"shard": "", "process_id": 1}, "num_processes and process_id need --distributed"),
        ({"shard": "", "distributed": "auto", "process_id": 1}, "auto finds --num-processes and"),
        ({"shard": "", "distributed": "auto"}, "auto finds no job of SLURM or Open MPI"),
        ({"shard": "", "distributed": "a:1", "num_processes": 2}, "needs --num-processes N and"),
        (
            {"shard": "", "distributed": "a:1", "num_processes": 2, "process_id": 2},
            "process_id: got 2 with --num-processes 2",
        ),
    ],
)
def test_options_that_do_not_fit_together(options, message):
    with pytest.raises(ValueError, match=message):
        share_of(**options, environment={"SLURM_JOB_ID": "7"})
