"""Fits the names in a file of weights to those of an architecture: renames, finds the prefix."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from afn_jax.near_names import did_you_mean
from afn_jax.weights.torchvision import ARCHITECTURES, Layer, some, torch_layers

# Guessed: with fewer names than this share, a prefix is a coincidence, such as "block." of "fc".
_LEAST_SHARE = 0.5
# Names of classifiers in torchvision, timm, MMAction, PySlowFast and others.
_HEADS = {
    *("fc", "head", "heads", "cls_head", "fc_cls", "fc_action", "classifier", "linear", "logits"),
    *("last_linear", "new_fc", "fc8", "fc_out", "projection", "predictor", "output", "top"),
}


class Fitted(NamedTuple):
    """Tensors under the architecture's names, and what was done to the names of the file."""

    state: dict[str, Any]
    notes: tuple[str, ...]


def parse_renames(rules: Sequence[str], argument: str = "rename") -> dict[str, str]:
    """Parses rules OLD=NEW.

    Raises:
        ValueError: for a rule without "=", or two rules for one OLD.
    """
    renames: dict[str, str] = {}
    for rule in rules:
        old, equals, new = rule.partition("=")
        if not equals or rule == "=":
            raise ValueError(
                f"{argument}: got {rule!r}; allowed: OLD=NEW, such as head.fc=fc, backbone.= to "
                "remove a beginning, or =features. to put one in front of every name."
            )
        if old in renames:
            raise ValueError(f"{argument}: two rules for {old!r}: {renames[old]!r} and {new!r}.")
        renames[old] = new
    return renames


def rename_names(names: Iterable[str], renames: Mapping[str, str]) -> dict[str, str]:
    """Applies rules one after the other to names: old name -> new name.

    OLD is one or more components of a name (the parts between dots). Each occurrence of all of them
    in a row is replaced by NEW, or removed if NEW is empty. If OLD is empty, NEW is put in front of
    every name. Dots around OLD and NEW do not matter.

    Raises:
        ValueError: if OLD is in none of the names, or two names become the same.
    """
    result = {name: name for name in names}
    for old, new in renames.items():
        changed = {name: _replace(now, old, new) for name, now in result.items()}
        if changed == result:
            hint = did_you_mean(old.strip("."), _pieces(result.values()))
            raise ValueError(
                f"rename: {old!r} is in none of the {len(result)} names of the file"
                f"{', as parts between dots' * any(old in n for n in result.values())}. "
                f"{hint or 'They are ' + some(list(result.values())) + '.'}"
            )
        result = changed
    by_new: dict[str, str] = {}
    for name, now in result.items():
        if now in by_new:
            raise ValueError(f"rename: {by_new[now]} and {name} both become {now!r}.")
        by_new[now] = name
    return result


def fit_names(
    tensors: Mapping[str, Any],
    architecture: str,
    *,
    rename: Mapping[str, str] | None = None,
    ignore: Sequence[str] = (),
    skip: Sequence[str] = (),
) -> Fitted:
    """Chooses the tensors of an architecture in a file, whatever stands before their names.

    The prefix is the one after which the most names are those of the architecture; names that fit
    as they are come first. Tensors outside the prefix are left out, except those whose whole name
    is one of the architecture's, such as "fc.weight" beside "backbone.conv1.weight". If a skipped
    layer is missing, tensors of a classifier with a different name are left out too.

    Args:
        tensors: result of `read_tensors`.
        architecture: one of `ARCHITECTURES`.
        rename: see `rename_names`; applied first.
        ignore: beginnings of names in the file (after renaming) to leave out.
        skip: see `load_into`; these layers may be missing.

    Raises:
        ValueError: if the names fit after several prefixes, a layer is missing or a name of the
            file belongs to no layer.
    """
    notes = []
    names = rename_names(tensors, rename or {})
    values = {names[name]: value for name, value in tensors.items()}
    if changed := sum(old != new for old, new in names.items()):
        notes.append(f"renamed {changed} of {len(names)} arrays")
    for entry in ignore:
        if not any(name.startswith(entry) for name in values):
            raise ValueError(
                f"ignore: no name of the file begins with {entry!r}. "
                f"{did_you_mean(entry.rstrip('.'), _pieces(values))}"
            )
    values = {name: v for name, v in values.items() if not name.startswith(tuple(ignore))}
    layers = torch_layers(architecture)
    counts = Counter(
        prefix
        for name in values
        if not name.endswith(".num_batches_tracked")
        for prefix in _prefixes(name, layers)
    )
    prefix = _choose(counts, len(layers), architecture)
    state = {n.removeprefix(prefix): v for n, v in values.items() if n.startswith(prefix)}
    outside = [name for name in values if not name.startswith(prefix)]
    for name in [name for name in outside if name in layers and name not in state]:
        state[name] = values[name]
        outside.remove(name)
    state = {k: v for k, v in state.items() if not k.endswith(".num_batches_tracked")}
    missing = [name for name in layers if name not in state]
    unknown = [name for name in state if name not in layers]
    optional = [name for name in missing if _is_skipped(layers[name].path, skip)]
    if optional:
        heads = [name for name in unknown if _HEADS & set(name.split("."))]
        unknown = [name for name in unknown if name not in heads]
        outside += [prefix + name for name in heads]
    missing = [name for name in missing if name not in optional]
    if missing or unknown:
        left = [name for name in outside if not name.endswith(".num_batches_tracked")]
        after = f", with the beginning {prefix!r} removed," if prefix else ""
        raise ValueError(
            f"weights: they{after} are not those of {architecture}.\n"
            + _mismatch(layers, prefix, missing, unknown, left, counts)
            + f"\nKnown architectures are {', '.join(ARCHITECTURES)}."
        )
    if prefix:
        notes.append(f"removed {prefix!r} from the names of {len(state)} arrays")
    if outside:
        notes.append(f"left out of the file: {some(_modules(outside))} ({len(outside)} arrays)")
    if optional:
        notes.append(f"missing from the file, skipped: {some(_modules(optional))}")
    return Fitted({name: state[name] for name in layers if name in state}, tuple(notes))


def _replace(name: str, old: str, new: str) -> str:
    if not old.strip("."):
        return f"{new.strip('.')}.{name}"
    parts, wanted = name.split("."), old.strip(".").split(".")
    put = new.strip(".").split(".") if new.strip(".") else []
    result, position = [], 0
    while position < len(parts):
        if parts[position : position + len(wanted)] == wanted:
            result += put
            position += len(wanted)
        else:
            result.append(parts[position])
            position += 1
    return ".".join(result)


def _pieces(names: Iterable[str]) -> list[str]:
    """All runs of components of names, without the last component, each once."""
    pieces: dict[str, None] = {}
    for module in _modules(names):
        parts = module.split(".")
        for start in range(len(parts)):
            for end in range(start + 1, min(len(parts), start + 4) + 1):
                pieces[".".join(parts[start:end])] = None
    return list(pieces)


def _modules(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(name.rpartition(".")[0] or name for name in names))


def _prefixes(name: str, known: Mapping[str, Any]) -> list[str]:
    """Every beginning of a name after which a known name follows."""
    starts = [0] + [i + 1 for i, letter in enumerate(name) if letter == "."]
    return [name[:start] for start in starts if name[start:] in known]


def _choose(counts: Counter[str], num_known: int, architecture: str) -> str:
    most = max(counts.values(), default=0)
    best = [prefix for prefix, count in counts.items() if count == most]
    if "" in best or most < _LEAST_SHARE * num_known:
        return ""
    if len(best) > 1:
        raise ValueError(
            f"weights: the names of {architecture} are in the file {len(best)} times, after "
            f"{' and '.join(map(repr, sorted(best)))}. Leave out all but one: "
            f"ignore=({best[-1]!r},), or --init.ignore {best[-1]}"
        )
    return best[0]


def _is_skipped(path: str, skip: Sequence[str]) -> bool:
    """Whether an entry may mean the layer; `load_into`, which knows `at`, decides exactly."""
    for entry in skip:
        parts = entry.strip("/").split("/")
        if any(f"/{'/'.join(parts[i:])}/" in f"/{path}/" for i in range(len(parts))):
            return True
    return False


def _mismatch(
    layers: Mapping[str, Layer],
    prefix: str,
    missing: Sequence[str],
    unknown: Sequence[str],
    outside: Sequence[str],
    counts: Counter[str],
) -> str:
    lines = [f"  missing: {some(missing)}", f"  unknown: {some([prefix + n for n in unknown])}"]
    if prefix:
        lines.append(f"  outside {prefix!r}: {some(_modules(outside))}")
    others = [(count, p) for p, count in counts.items() if p != prefix]
    if others and len(missing) > len(layers) // 2:
        count, other = max(others)
        lines.append(f"  {count} of {len(layers)} names fit after {other!r}; the others do not.")
    candidates = _modules([prefix + name for name in unknown] + list(outside))
    near = {module: _nearest(module, candidates) for module in _modules(missing)[:8]}
    rules = [f"{old}={prefix}{module}" for module, old in near.items() if old]
    if rules:
        lines.append(f"These may be the missing ones: --init.rename {' '.join(rules)}")
    paths = list(dict.fromkeys(layers[name].path for name in missing))
    if 1 <= len(paths) <= 2:
        lines.append(f"To start without them: --init.skip {' '.join(paths)}")
    if unknown:
        lines.append("To leave out names of the file: --init.ignore BEGINNING.")
    return "\n".join(lines)


def _nearest(module: str, candidates: Sequence[str]) -> str:
    """The module of the file that is most likely the missing one; "": none is near."""
    last = module.split(".")[-1]
    if last in _HEADS or module == "classifier.6":  # the last layer of VGG-16
        same = [name for name in candidates if _HEADS & set(name.split("."))]
    else:
        same = [name for name in candidates if name.split(".")[-1] == last]
    return same[0] if len(same) == 1 else ""
