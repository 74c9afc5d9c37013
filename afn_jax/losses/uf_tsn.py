"""Unsupervised loss of the motion estimator of UF-TSN (section 2.2, Eq. 6-9)."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Float

from afn_jax.losses.census import census_loss
from afn_jax.losses.photometric import l1_loss
from afn_jax.losses.smoothness import edge_aware_smoothness_loss
from afn_jax.ops import warp
from afn_jax.ops.checks import check_float
from afn_jax.ops.resize import resize_linear
from afn_jax.types import Array

LAMBDA_DIFF, LAMBDA_CENSUS, LAMBDA_SMOOTH = 0.2, 1.0, 50.0  # section 3.2


def uf_tsn_loss(
    image1: Float[Array, "*batch h w 3"],
    image2: Float[Array, "*batch h w 3"],
    flows: Sequence[Float[Array, "*batch _ _ 2"]],
    backward_flows: Sequence[Float[Array, "*batch _ _ 2"]] = (),
    *,
    lambda_diff: float | Array = LAMBDA_DIFF,
    lambda_census: float | Array = LAMBDA_CENSUS,
    lambda_smooth: float | Array = LAMBDA_SMOOTH,
    level_weights: Sequence[float] | None = None,
) -> tuple[Float[Array, ""], dict[str, Float[Array, ""]]]:
    """Computes absolute difference, census and edge-aware smoothness at all levels (Eq. 9).

    Eq. 9 divides by the number of pixels, so each term is a mean. Three details are not in the
    paper. The smoothness term divides flow by the smaller side of its map, without which
    lambda_3 = 50 would suppress motion, and the warp repeats the border; both follow ARFlow, which
    penalizes smoothness only at its finest level. Guessed are the division by each level's own
    side, which gives coarser levels more weight, and the equal weights of the levels.

    Args:
        image1: `[..., H, W, 3]`, float RGB in [0, 1]. The images get no gradient.
        image2: same shape, the next frame.
        flows: flow from `image1` to `image2`, finest first, each `[..., h, w, 2]` in pixels of its
            own map. The images are resized to each map.
        backward_flows: flow from `image2` to `image1` at the same number of levels, or empty. If
            given, the loss is the mean of both directions.
        lambda_diff: weight of Eq. 6.
        lambda_census: weight of Eq. 7.
        lambda_smooth: weight of Eq. 8.
        level_weights: one per level; None = 1 each.

    Returns:
        The loss, and its terms "diff", "census" and "smooth", weighted and summed over levels.
        Scalars; float32 or higher precision.

    Raises:
        ValueError: if shapes or lengths do not match, or the images are not float.
    """
    if image1.shape != image2.shape or image1.ndim < 3 or image1.shape[-1] != 3:
        raise ValueError(
            f"image1 has shape {image1.shape} and image2 {image2.shape}; both must be the same "
            "[..., H, W, 3]"
        )
    check_float(image1=image1, image2=image2)
    if not flows or (backward_flows and len(backward_flows) != len(flows)):
        raise ValueError(
            f"flows has {len(flows)} levels and backward_flows {len(backward_flows)}; pass one or "
            "more, and the same number of backward levels or none"
        )
    level_weights = (1.0,) * len(flows) if level_weights is None else tuple(level_weights)
    if len(level_weights) != len(flows):
        raise ValueError(
            f"level_weights has {len(level_weights)} values and flows {len(flows)} levels; give "
            "one weight per level"
        )
    for flow in (*flows, *backward_flows):
        if flow.shape[:-3] != image1.shape[:-3] or flow.ndim != image1.ndim or flow.shape[-1] != 2:
            raise ValueError(
                f"flows has a map of shape {flow.shape} and the images {image1.shape}; each must "
                "be [..., h, w, 2] with the same leading axes"
            )

    every = (image1, image2, *flows, *backward_flows)
    dtype = jnp.promote_types(jnp.result_type(*every), jnp.float32)
    directions = [(image1, image2, flows)]
    if backward_flows:
        directions.append((image2, image1, backward_flows))
    terms = {name: jnp.zeros((), dtype) for name in ("diff", "census", "smooth")}
    for source, target, direction_flows in directions:
        for flow, weight in zip(direction_flows, level_weights, strict=True):
            weight = weight / len(directions)
            source_level, target_level = (
                _resize(jnp.asarray(image, dtype), flow.shape[-3:-1]) for image in (source, target)
            )
            flow = jnp.asarray(flow, dtype)
            warped = warp(target_level, flow)
            relative_flow = flow / min(flow.shape[-3:-1])
            smooth = edge_aware_smoothness_loss(relative_flow, source_level)
            terms["diff"] += weight * lambda_diff * l1_loss(source_level, warped)
            terms["census"] += weight * lambda_census * census_loss(source_level, warped)
            terms["smooth"] += weight * lambda_smooth * smooth
    return terms["diff"] + terms["census"] + terms["smooth"], terms


def _resize(image: Array, size: tuple[int, int]) -> Array:
    resized = resize_linear(image, size)
    # Clipped, because the warp adds up four neighbors, which could overflow.
    return jax.lax.stop_gradient(jnp.clip(resized, -1e18, 1e18))
