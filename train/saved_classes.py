"""The number of classes of a trained network, read from the shapes in its newest checkpoint."""

import logging
import re
from collections.abc import Sequence
from pathlib import Path

import jax
import orbax.checkpoint as ocp

from afn_jax.near_names import printable
from train.checkpoint import load_record

# The last layer of every network that classifies: the only arrays that depend on the classes.
CLASSIFIER = re.compile(r"(^|/)classifier/")


def num_classes_of(run_dir: Path) -> int | None:
    """Returns the number of classes that a run was trained on.

    None if it has no readable checkpoint, or neither a record of its classes nor a classifier.
    """
    _, record = load_record(run_dir)
    return _saved_outputs(run_dir) if record is None else len(record.class_names)


def check_num_classes(run_dir: Path, class_names: Sequence[str], otherwise: str) -> None:
    """Raises ValueError unless the data has as many classes as the network of an older run.

    Args:
        run_dir: folder of a run that has no record of its classes.
        class_names: of the data.
        otherwise: what the user can do.
    """
    outputs = _saved_outputs(run_dir)
    if outputs not in (None, len(class_names)):
        names = ", ".join(map(printable, class_names[:20])) + " ..." * (len(class_names) > 20)
        raise ValueError(
            f"data: there are {len(class_names)} classes ({names}), "
            f"but the network of {run_dir} was trained on {outputs}; their names were not "
            f"recorded. {otherwise}"
        )


def _saved_outputs(run_dir: Path) -> int | None:
    logging.getLogger("absl").setLevel(logging.CRITICAL)  # it warns of metadata without any use
    folder = Path(run_dir).resolve() / "checkpoints"
    names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    for step in sorted((int(name) for name in names if name.isdigit()), reverse=True):
        try:
            with ocp.StandardCheckpointer() as reader:
                found = reader.metadata(folder / str(step) / "state")
            params = getattr(found, "item_metadata", found)["params"]
        except Exception:  # damaged; Orbax raises many types
            continue
        for path, array in jax.tree_util.tree_flatten_with_path(params)[0]:
            name = "/".join(str(key.key) for key in path)
            if CLASSIFIER.search(name) and name.endswith("/bias"):
                return int(array.shape[-1])
        return None
    return None
