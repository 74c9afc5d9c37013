"""Recipes by name and scale. A new one is one file and one line here."""

from train.config import TrainConfig
from train.recipes import actionflownet

RECIPES: dict[str, dict[str, TrainConfig]] = {
    "actionflownet": {"paper": actionflownet.PAPER, "toy": actionflownet.TOY},
}
