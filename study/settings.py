"""The settings of an arm, by which a stored row is recognized.

A row of `results.jsonl` has a fingerprint; `settings.jsonl` lists the settings that it stands for.
They keep the names of the version that trained the row. `today` reads them as `train` reads the
`config.json` of an older run, so renaming a setting does not make a row unknown.
"""

import hashlib
from typing import Any

from study.findings import Arm, Fused, Stage
from study.runs import SAME_RUN, Place, configure
from train.config import TrainConfig, flatten
from train.config_file import from_values

# These change how fast a run is and what it logs, but no number; or they distinguish replications.
SAME_ARM = SAME_RUN | {"data.num_threads", "data.num_workers", "data.prefetch", "log_every"}
SAME_ARM |= {"seed", "data.list_number"}

# {"stages": [{"dotted.name": value, ...}, ...]}, with the values that differ from the defaults;
# for fused arms {"streams": [stages, stages], "weights": [...]}.
Settings = dict[str, Any]


def settings_of(arm: Arm, arms: dict[str, Arm], place: Place) -> Settings:
    """Lists the settings of an arm's runs that differ from the defaults.

    They are the same for all replications of the arm. A setting that is added to the project
    changes nothing here where it has its default. Code is not part of them.
    """
    if isinstance(arm, Fused):
        streams = [_stages(arms[name], place) for name in (arm.spatial, arm.temporal)]
        return {"streams": streams, "weights": list(arm.weights)}
    return {"stages": _stages(arm, place)}


def today(settings: Settings) -> Settings:
    """Reads stored settings and returns them with today's names.

    Raises:
        ValueError: a setting or value that no longer exists.
    """
    if "streams" in settings:
        return settings | {"streams": [_read(stages) for stages in settings["streams"]]}
    return {"stages": _read(settings["stages"])}


def fingerprint(settings: Settings) -> str:
    """Computes twelve hexadecimal digits that identify settings."""
    if "streams" in settings:
        streams = [fingerprint({"stages": stages}) for stages in settings["streams"]]
        text = repr((streams, _tuples(settings["weights"])))
    else:
        text = repr(
            [
                sorted((name, _tuples(value)) for name, value in stage.items())
                for stage in settings["stages"]
            ]
        )
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _stages(stages: tuple[Stage, ...], place: Place) -> list[dict[str, Any]]:
    return [_changed(configure(stages[: count + 1], place)) for count in range(len(stages))]


def _read(stages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [_changed(from_values(_nested(stage), "settings.jsonl")) for stage in stages]


def _changed(config: TrainConfig) -> dict[str, Any]:
    default = flatten(TrainConfig())
    return {
        name: value
        for name, value in flatten(config).items()
        if name not in SAME_ARM and value != default[name]
    }


def _nested(flat: dict[str, Any]) -> dict[str, Any]:
    """The inverse of `flatten`: {"data.size": x} becomes {"data": {"size": x}}."""
    nested: dict[str, Any] = {}
    for dotted, value in flat.items():
        *groups, name = dotted.split(".")
        inner = nested
        for group in groups:
            inner = inner.setdefault(group, {})
        inner[name] = value
    return nested


def _tuples(value: Any) -> Any:
    """JSON has lists where settings have tuples."""
    return tuple(_tuples(item) for item in value) if isinstance(value, list | tuple) else value
