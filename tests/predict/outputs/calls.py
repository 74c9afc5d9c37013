"""Calls of predict on a small folder, and what they left in the output folder."""

import re

from afn_jax.predict.many import predict_many
from afn_jax.predict.settings import Settings
from afn_jax.predict.suggest.suggestions import Suggestions
from tests.predict.stand_ins import Silent, brightness_network

PLAIN = Settings(film=False)
FILM = Settings(film_height=32)


def predict(videos, out, settings=PLAIN, suggest=0, network=None, **options):
    network = network or brightness_network()
    names = network.card.class_names
    suggestions = Suggestions(suggest, names) if suggest else None
    return predict_many(
        *(network, [videos] if isinstance(videos, str) else videos, out, settings),
        **{"command": "afn-jax ...", "reporter": Silent(), "suggestions": suggestions} | options,
    )


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def unchanged(before):
    return [str(path) for path, data in before.items() if path.read_bytes() != data]


def videos_on_the_page(index):
    return int(re.search(r"Predictions for (\d+) video", index.read_text())[1])
