"""Recipes by name, stage and scale. A new one is one file and one line here.

The stage named "" runs if no stage is given.
"""

from train.config import TrainConfig
from train.recipes import actionflownet, hidden_two_stream, odabasi, representation_flow, uf_tsn

Scales = dict[str, TrainConfig]

RECIPES: dict[str, dict[str, Scales]] = {
    "actionflownet": actionflownet.STAGES,
    "hidden-two-stream": hidden_two_stream.STAGES,
    "uf-tsn": uf_tsn.STAGES,
    "representation-flow": representation_flow.STAGES,
    "odabasi": odabasi.STAGES,
}
