"""The evaluation on a few test clips during training, for the curves of the report."""

from collections.abc import Callable

import jax

from afn_jax.data.clip_reader import ClipReader
from afn_jax.metrics import Mean
from afn_jax.types import Batch
from train.config import TrainConfig
from train.hosts.shares import own_batches
from train.hosts.together import gather
from train.parallel import split_batch
from train.state import TrainState, evaluation_variables


def evaluate_test_clips(
    state: TrainState,
    test_step: Callable[[dict, Batch], dict[str, Mean]],
    reader: ClipReader,
    config: TrainConfig,
    num_devices: int,
) -> dict[str, float]:
    """Computes the metrics of `test_batches` batches of test clips, always the same ones.

    Each process evaluates its share of the clips, in batches of its share of the batch size.
    A metric that counted nothing, such as the endpoint error without a valid pixel, is left out.
    """
    batches = own_batches(reader, config.batch_size, most=config.test_batches * config.batch_size)
    variables = evaluation_variables(state)
    totals: dict[str, Mean] = {}
    for arrays in batches:
        batch = split_batch(Batch.from_arrays(arrays), num_devices)
        for name, term in jax.device_get(test_step(variables, batch)).items():
            # Summed in double precision, over the devices and the batches.
            term = jax.tree.map(lambda x: float(x.sum()), term)
            totals[name] = totals[name].merge(term) if name in totals else term
    # Once, at the end: the processes have unequal numbers of batches.
    totals, *others = gather(totals)
    for part in others:
        for name, term in part.items():
            totals[name] = totals[name].merge(term) if name in totals else term
    return {name: total.compute() for name, total in totals.items() if total.count}
