"""The motion operators in plain PyTorch, for comparing times. Maps are `[N, C, H, W]`."""

import torch
import torch.nn.functional as F

EPSILON = 1e-12


def gradients(x):
    """Computes central differences, with border pixels repeated outside."""
    wide = F.pad(x, (1, 1, 0, 0), mode="replicate")
    high = F.pad(x, (0, 0, 1, 1), mode="replicate")
    return 0.5 * (wide[..., 2:] - wide[..., :-2]), 0.5 * (high[..., 2:, :] - high[..., :-2, :])


def forward_differences(u):
    along_x = F.pad(u[..., 1:] - u[..., :-1], (0, 1))
    along_y = F.pad(u[..., 1:, :] - u[..., :-1, :], (0, 0, 0, 1))
    return along_x, along_y


def representation_flow(first, second, tau, lam, theta, kernels, iterations: int):
    """Computes Algorithm 1 with slices and a clamp. `kernels` `[2, 2]` is the divergence."""
    gradient_x, gradient_y = gradients(second)
    inverse = 1 / (gradient_x * gradient_x + gradient_y * gradient_y + EPSILON)
    constant, bound, step = second - first, lam * theta, tau / theta
    zeros = torch.zeros_like(first)
    flow_x = flow_y = xx = xy = yx = yy = zeros

    def divergence(x, y):
        along_x = kernels[0, 1] * x + kernels[0, 0] * F.pad(x[..., :-1], (1, 0))
        return along_x + kernels[1, 1] * y + kernels[1, 0] * F.pad(y[..., :-1, :], (0, 0, 1, 0))

    def ascend(x, y, flow):
        along_x, along_y = forward_differences(flow)
        length = torch.sqrt(along_x * along_x + along_y * along_y + EPSILON)
        scale = 1 / (1 + step * length)
        return (x + step * along_x) * scale, (y + step * along_y) * scale

    for _ in range(iterations):
        residual = (constant + gradient_x * flow_x + gradient_y * flow_y) * inverse
        shrink = torch.maximum(torch.minimum(residual, bound), -bound)
        flow_x = flow_x - gradient_x * shrink + theta * divergence(xx, xy)
        flow_y = flow_y - gradient_y * shrink + theta * divergence(yx, yy)
        xx, xy = ascend(xx, xy, flow_x)
        yx, yy = ascend(yx, yy, flow_y)
    return flow_x, flow_y


def representation_flow_by_convolution(first, second, tau, lam, theta, kernels, iterations: int):
    """Computes Algorithm 1 as first published, with convolutions and boolean masks."""
    batch, channels, height, width = first.shape
    first, second = (x.reshape(batch * channels, 1, height, width) for x in (first, second))
    gradient_x, gradient_y = gradients(second)
    squared = gradient_x * gradient_x + gradient_y * gradient_y + EPSILON
    constant, bound, step = second - first, lam * theta, tau / theta
    zeros = torch.zeros_like(first)
    flow_x = flow_y = xx = xy = yx = yy = zeros
    across, down = kernels[0].reshape(1, 1, 1, 2), kernels[1].reshape(1, 1, 2, 1)
    forward = torch.tensor([-1.0, 1.0], device=first.device)

    def divergence(x, y):
        return F.conv2d(F.pad(x, (1, 0)), across) + F.conv2d(F.pad(y, (0, 0, 1, 0)), down)

    def ascend(x, y, flow):
        along_x = F.pad(F.conv2d(flow, forward.reshape(1, 1, 1, 2)), (0, 1))
        along_y = F.pad(F.conv2d(flow, forward.reshape(1, 1, 2, 1)), (0, 0, 0, 1))
        length = torch.sqrt(along_x * along_x + along_y * along_y + EPSILON)
        scale = 1 + step * length
        return (x + step * along_x) / scale, (y + step * along_y) / scale

    for _ in range(iterations):
        residual = constant + gradient_x * flow_x + gradient_y * flow_y + EPSILON
        low = (residual < -bound * squared).detach()
        high = (residual > bound * squared).detach()
        middle = ((~low) & (~high) & (squared > EPSILON)).detach()
        moved = []
        for flow, gradient, (x, y) in (
            (flow_x, gradient_x, (xx, xy)),
            (flow_y, gradient_y, (yx, yy)),
        ):
            change = torch.zeros_like(flow)
            change = torch.where(low, bound * gradient, change)
            change = torch.where(high, -bound * gradient, change)
            change = torch.where(middle, -residual * gradient / squared, change)
            moved.append(flow + change + theta * divergence(x, y))
        flow_x, flow_y = moved
        xx, xy = ascend(xx, xy, flow_x)
        yx, yy = ascend(yx, yy, flow_y)
    return tuple(x.reshape(batch, channels, height, width) for x in (flow_x, flow_y))


def warp(image, flow):
    """Warps `[N, C, H, W]` by `[N, H, W, 2]` pixels with `grid_sample` and repeated borders."""
    height, width = image.shape[-2:]
    rows = torch.arange(height, device=image.device, dtype=image.dtype)
    columns = torch.arange(width, device=image.device, dtype=image.dtype)
    x = 2 * (columns[None, None, :] + flow[..., 0]) / (width - 1) - 1
    y = 2 * (rows[None, :, None] + flow[..., 1]) / (height - 1) - 1
    grid = torch.stack([x, y], -1)
    return F.grid_sample(image, grid, mode="bilinear", padding_mode="border", align_corners=True)


def cost_volume(first, second, reach: int):
    """Computes `[N, (2 * reach + 1) ** 2, H, W]` from shifted products."""
    height, width = first.shape[-2:]
    padded = F.pad(second, (reach,) * 4)
    side = 2 * reach + 1
    costs = [
        (first * padded[..., row : row + height, column : column + width]).mean(1)
        for row in range(side)
        for column in range(side)
    ]
    return torch.stack(costs, 1)
