"""Checks of the training and test data before a run starts."""

from afn_jax.data.source import Source
from afn_jax.data.sources import source_spec
from afn_jax.data.sources.identity import refuse_shared
from train.config import TrainConfig
from train.flow_losses import FLOW_LOSSES


def check_data(config: TrainConfig, source: Source, test_source: Source) -> None:
    """Raises ValueError if a run cannot train on one of these sources and test on the other."""
    check_classes(source, test_source)
    if not source_spec(config.data.source).generated:
        refuse_shared(source, test_source)
    check_target(config, source)


def check_classes(source: Source, test_source: Source) -> None:
    """Raises ValueError if training and test data have different classes."""
    if source.class_names != test_source.class_names:
        raise ValueError(
            f"data: training classes {source.class_names} and test classes "
            f"{test_source.class_names} differ. Each class needs videos in both splits."
        )


def check_target(config: TrainConfig, source: Source) -> None:
    """Raises ValueError if the flow loss needs a target that neither data nor teacher provides."""
    flow = config.objective.flow
    if FLOW_LOSSES[flow].needs_target and config.data.teacher == "none" and not source[0].has_flow:
        raise ValueError(
            f"data.teacher: got 'none', but the flow loss {flow!r} needs a flow target and "
            f"{source[0].name} has none. Use --data.teacher dis, or --objective.flow none."
        )
