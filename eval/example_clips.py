"""Chooses test clips for a report and predicts them."""

import itertools
from collections.abc import Sequence

import numpy as np

from afn_jax.data.clip_reader import ClipReader
from afn_jax.data.config import DataConfig
from afn_jax.data.source import Source
from afn_jax.ops import resize_flow
from eval.predict import Predict
from eval.report_clips import ReportExample
from eval.scores import softmax


def example_clips(
    predict: Predict,
    source: Source,
    data: DataConfig,
    count: int,
    starts: Sequence[int] | None = None,
) -> list[ReportExample]:
    """Returns `count` test clips, spread over the classes, with the network's predictions.

    A damaged video is replaced by the next one. `starts` is as in `eval.action.evaluate`. If flows
    do not start at all frames, or all but the last, an example has only the frames at which a flow
    starts. An empty `starts` leaves out the flow.
    """
    by_label: dict[int, list[int]] = {}
    for i in range(min(len(source), 4096)):
        by_label.setdefault(source[i].label, []).append(i)
    in_turn = itertools.zip_longest(*(videos for _, videos in sorted(by_label.items())))
    reader = ClipReader(source, data, starts or None)
    examples = []
    for number in itertools.chain.from_iterable(in_turn):
        if len(examples) == count:
            break
        if number is None:
            continue
        example = {name: array[0] for name, array in reader.evaluation_example(number).items()}
        if not example["mask"]:
            continue
        frames = example["frames"]
        prediction = predict(frames[None])
        flow, target, flow_mask = None, example.get("flows"), example.get("flow_mask")
        times = ()
        if prediction.flows and (starts is None or len(starts)):
            flow = np.asarray(resize_flow(prediction.flows[0][0], frames.shape[1:3]))
            chosen = list(range(len(frames)) if starts is None else starts)[: len(flow)]
            if chosen != list(range(len(flow))) or len(flow) < len(frames) - 1:
                frames, times = frames[chosen], tuple(chosen)
                target, flow_mask = (x if x is None else x[chosen] for x in (target, flow_mask))
        scores = np.full(len(source.class_names), 1 / len(source.class_names))
        if prediction.logits is not None:
            scores = softmax(np.asarray(prediction.logits[0], np.float64))
        examples.append(
            ReportExample(
                name=source[number].name,
                label=int(example["labels"]),
                scores=scores,
                frames=frames,
                flow=flow,
                target=target if flow is not None else None,
                flow_mask=flow_mask if flow is not None else None,
                times=times,
            )
        )
    return examples
