"""The Representation Flow networks: sizes, rows of the paper's tables, fusion."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from afn_jax.models.representation_flow import RepresentationFlowNetwork, ResNetStream, _tvl1_input
from afn_jax.nn.representation_flow import LEARNABLE, RepresentationFlow
from afn_jax.ops import TVL1Config, tvl1_flow
from tests.filled_variables import filled_variables

QUICK = TVL1Config(num_scales=1, num_warps=1, num_iterations=2, median_size=1)


def network(num_classes=5, **fields):
    return RepresentationFlowNetwork(
        num_classes, **dict(backbone="resnet18", width=4, num_iterations=2, tvl1=QUICK) | fields
    )


def shapes(model, *clip):
    frames = jax.ShapeDtypeStruct(clip, jnp.float32)
    return jax.eval_shape(
        lambda frames: model.init_with_output(jax.random.key(0), frames, train=False), frames
    )


@pytest.mark.parametrize(
    ("backbone", "times", "channels"),
    [
        ("resnet34", (16, 16, 16, 16, 16), (64, 64, 128, 256, 512)),
        ("r3d18", (16, 8, 4, 2, 1), (64, 64, 128, 256, 512)),
        ("r2plus1d50", (8, 4, 4, 4, 4), (64, 256, 512, 1024, 2048)),
    ],
)
def test_block_output_sizes_for_16_frames(backbone, times, channels):
    seen = []
    stream = ResNetStream(2, backbone, insert=lambda block, x: seen.append((block, x.shape)) or x)
    shapes(stream, 1, 16, 224, 224, 3)
    sides = (112, 56, 28, 14, 7)
    assert seen == [
        (block, (1, time, side, side, features))
        for block, time, side, features in zip(range(1, 6), times, sides, channels, strict=True)
    ]


FLOW, STACK = dict(composition="tvl1", flow_after=0), dict(stacked_flows=10)
ROWS = [
    *(dict(composition="none", backbone=net) for net in ("resnet18", "r3d18", "r2plus1d18")),
    FLOW | STACK,
    FLOW | STACK | dict(fusion="late"),
    *(dict(learned=(), flow_after=block) for block in range(6)),
    dict(kernels="sobel", learned=("image_gradient", "flow_gradient")),
    *(dict(learned=learned) for learned in (("divergence",), ("tau", "lam", "theta"), LEARNABLE)),
    *(
        dict(fusion=fusion, flow_after=block)
        for fusion in ("late", "add", "multiply", "late+multiply", "concat")
        for block in (0, 1, 3)
    ),
    dict(composition="tvl1-of-tvl1", flow_after=0),
    *(
        dict(composition=composition)
        for composition in ("flow-of-flow", "flow-conv-flow", "flow-conv-flow-conv-flow")
    ),
    *(
        dict(backbone=net) | row
        for net in ("r3d18", "r2plus1d18")
        for row in (FLOW, FLOW | dict(fusion="late"), dict(flow_after=0), dict(flow_after=1))
    ),
    *(dict(backbone=net, fusion="residual") for net in ("resnet50", "r2plus1d50")),
    dict(backbone="r2plus1d50", composition="flow-conv-flow", fusion="residual"),
]


@pytest.mark.slow
@pytest.mark.parametrize("row", ROWS, ids=lambda row: "-".join(map(str, row.values())))
def test_every_row_of_the_tables_can_be_built(row):
    prediction, _ = shapes(network(**row), 1, 16, 112, 112, 3)
    assert prediction.logits.shape == (1, 5)


@pytest.mark.parametrize(
    ("fields", "kernels"),
    [
        (dict(flow_after=0), {"expand": (3, 3, 6, 3)}),
        (
            dict(composition="flow-of-flow", flow_after=3),
            {"reduce": (1, 1, 8, 32), "expand": (3, 3, 128, 8)},
        ),
        (
            dict(composition="flow-conv-flow", flow_after=1),
            {
                "reduce_1": (1, 1, 4, 32),
                "expand_1": (3, 3, 64, 64),
                "reduce_2": (1, 1, 64, 32),
                "expand_2": (3, 3, 64, 4),
            },
        ),
    ],
)
def test_convolutions_in_the_layer(fields, kernels):
    layer = shapes(network(**fields), 1, 4, 32, 32, 3)[1]["params"]["flow_layer"]
    found = {name: leaf["kernel"].shape for name, leaf in layer.items() if "kernel" in leaf}
    assert found == kernels


@pytest.mark.slow
@pytest.mark.parametrize("fusion", ["late", "late+multiply", "concat"])
def test_fusion_uses_the_earlier_frame_and_averages_logits(fusion):
    model = network(flow_after=1, fusion=fusion)
    clip = jax.random.uniform(jax.random.key(0), (1, 3, 17, 24, 3))
    variables = filled_variables(model, clip, train=False)

    def stream(name, insert=None):
        of_stream = {kind: tree[name] for kind, tree in variables.items()}
        mean = jnp.array([0.485, 0.456, 0.406]).reshape(1, 1, 1, 1, 3)
        deviation = jnp.array([0.229, 0.224, 0.225]).reshape(1, 1, 1, 1, 3)
        net = ResNetStream(5, "resnet18", width=4, insert=insert)
        return net.apply(of_stream, (clip - mean) / deviation, train=False)

    def insert(block, x):
        if block != 1:
            return x
        layer = RepresentationFlow(num_iterations=2)
        flow = layer.apply({"params": variables["params"]["flow_layer"]}, x)
        frame = x[:, :2]
        if fusion == "late":
            return flow
        return frame * flow if fusion == "late+multiply" else jnp.concatenate([frame, flow], -1)

    @jax.jit
    def both():
        expected = stream("flow_stream", insert)
        if fusion.startswith("late"):
            expected = (expected + stream("rgb_stream")) / 2
        return model.apply(variables, clip, train=False).logits, expected

    np.testing.assert_allclose(*both(), rtol=1e-4, atol=1e-5)


def test_without_fusion_logits_depend_only_on_motion():
    model = network(learned=())
    texture = jax.random.uniform(jax.random.key(0), (2, 1, 24, 24, 3))
    still = jnp.repeat(texture, 4, 1)
    moving = jnp.stack([jnp.roll(texture[:, 0], step, 2) for step in range(4)], 1)
    variables = filled_variables(model, still, train=False)
    apply = jax.jit(lambda clip: model.apply(variables, clip, train=False).logits)
    np.testing.assert_allclose(*apply(still), atol=1e-5)  # for two different images
    assert np.abs(apply(moving) - apply(still)).max() > 1e-2
    assert np.abs(apply(moving) - apply(moving[:, ::-1])).max() > 1e-2


def test_stacks_tvl1_flow_of_consecutive_frames():
    clip = jax.random.uniform(jax.random.key(0), (1, 5, 16, 16, 3))
    flow = tvl1_flow(clip[:, :-1], clip[:, 1:], QUICK)
    stacks = _tvl1_input(clip, QUICK, "tvl1", 3)
    assert stacks.shape == (1, 2, 16, 16, 6)
    np.testing.assert_allclose(stacks[:, 1], jnp.concatenate(list(flow[0, 1:4]), -1)[None])
    twice = _tvl1_input(clip, QUICK, "tvl1-of-tvl1", 1)
    gray = flow[..., 1] / 40 + 0.5
    of_y = tvl1_flow(gray[:, :-1], gray[:, 1:], QUICK)
    np.testing.assert_allclose(twice[..., 2:], of_y, atol=1e-5)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (dict(backbone="resnet20"), "backbone: got 'resnet20'; allowed: 'resnet18'"),
        (dict(flow_after=6), "flow_after: got 6; allowed: 0, 1"),
        (dict(composition="fcf"), "composition: got 'fcf'; allowed: 'none', 'flow'"),
        (dict(fusion="sum"), "fusion: got 'sum'; allowed: 'none', 'late'"),
        (dict(composition="none", fusion="add"), "nothing to fuse"),
        (dict(composition="tvl1"), "pass flow_after=0"),
        (dict(stacked_flows=10), "stacked_flows: got 10 .* pass 1"),
        (dict(composition="tvl1", flow_after=0, stacked_flows=0), "stacked_flows: got 0; allowed"),
        (dict(fusion="residual", flow_after=0), "fusion: got 'residual' with flow_after=0"),
        (dict(backbone="r3d18"), "got 4 frames .* r3d18 leaves 1 .* block 3, .* needs 2"),
        (dict(composition="tvl1", flow_after=0, stacked_flows=4), "got 4 frames .* needs 5"),
    ],
)
def test_rejects_bad_fields_and_short_clips(fields, message):
    with pytest.raises(ValueError, match=message):
        shapes(network(**fields), 1, 4, 32, 32, 3)
