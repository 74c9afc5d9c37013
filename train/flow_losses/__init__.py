"""The flow losses of the objective by name. A new one is one file and one line here."""

from afn_jax.near_names import unknown_name
from train.flow_losses.endpoint import ENDPOINT
from train.flow_losses.flow_loss import FlowLoss
from train.flow_losses.jointflow3d import JOINTFLOW3D
from train.flow_losses.motionnet import MOTIONNET
from train.flow_losses.multiscale import MULTISCALE
from train.flow_losses.uf_tsn import UF_TSN

FLOW_LOSSES: dict[str, FlowLoss] = {
    "none": FlowLoss("no flow loss: the action alone", lambda *_, **__: {}, {}),
    "endpoint": ENDPOINT,
    "multiscale": MULTISCALE,
    "motionnet": MOTIONNET,
    "uf-tsn": UF_TSN,
    "jointflow3d": JOINTFLOW3D,
}


def find_flow_loss(name: str) -> FlowLoss:
    """The flow loss of that name.

    Raises:
        ValueError: an unknown name.
    """
    if name not in FLOW_LOSSES:
        raise ValueError(unknown_name("objective.flow", name, FLOW_LOSSES))
    return FLOW_LOSSES[name]


def list_flow_losses() -> str:
    """The flow losses, one per line, for help texts."""
    return "\n".join(f"  {name}: {loss.about}" for name, loss in FLOW_LOSSES.items())


__all__ = ["FLOW_LOSSES", "FlowLoss", "find_flow_loss", "list_flow_losses"]
