"""Imports point down, and the library works without the packages that only the commands need."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# Parts of `afn_jax` that each part may import.
MAY_IMPORT = {
    "any_bytes": set(),
    "near_names": set(),
    "limits": set(),
    "types": set(),
    "atomic": set(),
    "quiet": set(),
    "ops": {"types"},
    "losses": {"types", "ops"},
    "metrics": {"types", "ops", "losses"},
    "nn": {"types", "ops"},
    "models": {"near_names", "types", "ops", "nn"},
    "weights": {"near_names", "nn", "models"},
    "viz": {"atomic", "types", "ops"},
    "tvl1_teacher": {"ops"},
    # Loader workers must not start JAX, and `types` imports it.
    "data": {"any_bytes", "near_names", "limits", "atomic"},
    "export": {"types", "ops", "models", "near_names", "atomic", "quiet"},
    "predict": {
        *("any_bytes", "near_names", "limits", "atomic", "types", "ops", "viz", "data", "export"),
    },
    "command": {
        *("any_bytes", "near_names", "limits", "atomic", "types", "ops", "viz", "tvl1_teacher"),
        *("data", "export", "predict"),
    },
}
# Packages that each package above the library may not import.
ABOVE = {
    "train": {"eval", "study", "benchmarks", "tests"},
    "eval": {"study", "benchmarks", "tests"},
    "study": {"benchmarks", "tests"},
}
COMMANDS = {"train", "eval", "study", "benchmarks", "tests"}
ONLY_COMMANDS = {"grain", "av", "cv2", "tyro", "orbax", "tensorboardX", "rich"}
FLAX_NEEDS = {"rich"}  # flax.linen imports it to print tables, so it is there with Flax
FORBIDDEN = {
    "any_bytes": ONLY_COMMANDS | {"jax", "flax", "optax"},
    "near_names": ONLY_COMMANDS,
    "limits": ONLY_COMMANDS | {"jax", "flax", "optax"},
    "atomic": ONLY_COMMANDS | {"jax", "flax", "optax"},
    "quiet": ONLY_COMMANDS | {"jax", "flax", "optax"},
    "types": ONLY_COMMANDS,
    "ops": ONLY_COMMANDS | {"flax", "optax"},
    "losses": ONLY_COMMANDS | {"flax"},
    "metrics": ONLY_COMMANDS,
    "nn": ONLY_COMMANDS,
    "models": ONLY_COMMANDS,
    "weights": ONLY_COMMANDS,
    "tvl1_teacher": ONLY_COMMANDS | {"flax"},
    "viz": {"grain", "av", "tyro", "orbax", "tensorboardX", "rich", "flax"},
    "data": {"jax", "jaxlib", "flax", "optax", "chex", "orbax", "tyro"},
    "export": ONLY_COMMANDS | {"optax"},
    # What the extra `predict` does not install, and what networks are written in.
    "predict": {"grain", "tyro", "orbax", "tensorboardX", "flax", "optax", "chex"},
    "command": {"grain", "orbax", "tensorboardX", "flax", "optax", "chex"},
}
# The command lines on data may use tyro; what loader workers import may not.
DATA_COMMANDS = {Path("afn_jax/data/prepare/__main__.py"), Path("afn_jax/data/check/__main__.py")}


def imported(tree: ast.Module) -> set[str]:
    """Returns the dotted names that a file imports, inside functions too."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            # With the name, because `from afn_jax import ops` imports a layer.
            module = "." * node.level + (node.module or "")
            names.update(f"{module}.{alias.name}" for alias in node.names)
    return names


def uses_pmap(tree: ast.Module) -> bool:
    """Whether code uses pmap; comments and docstrings do not count."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr == "pmap":
            return True
        if isinstance(node, ast.Name) and node.id == "pmap":
            return True
        if isinstance(node, ast.alias) and node.name.split(".")[-1] == "pmap":
            return True
    return False


def violations(root: Path) -> list[str]:
    """Returns one line per broken rule, for all files under `root`.

    Raises:
        ValueError: if a part has no files, so that a wrong path does not pass for a clean tree.
    """
    found = []
    files = [path for part in ("afn_jax", *ABOVE) for path in (root / part).rglob("*.py")]
    parts = {path.relative_to(root).parts[:2] for path in files}
    missing = [
        part for part in MAY_IMPORT if not {("afn_jax", part), ("afn_jax", part + ".py")} & parts
    ]
    missing += [part for part in ABOVE if not any(part == first for first, *_ in parts)]
    if missing:
        raise ValueError(f"no files of {', '.join(missing)} under {root}")
    for path in sorted(files):
        where = path.relative_to(root)
        tree = ast.parse(path.read_text(encoding="utf-8"))
        found += [f"{where}: {broken}" for broken in _broken_by(where, imported(tree))]
        if uses_pmap(tree) and where != Path("train/parallel.py"):
            found.append(f"{where}: only train/parallel.py may use pmap")
    return found


def _broken_by(where: Path, names: set[str]) -> list[str]:
    broken = []
    package = where.parts[0]
    layer = Path(where.parts[1]).stem if package == "afn_jax" else None
    if layer == "__init__":  # importing any part imports this one first
        return [f"may import nothing, imports {name}" for name in sorted(names)]
    if package == "afn_jax" and layer not in MAY_IMPORT:
        broken.append(f"{layer} is a new part of afn_jax: say in MAY_IMPORT what it may import")
    for name in sorted(names):
        top, *rest = name.split(".")
        if not top:
            broken.append(f"may not import relatively ({name})")
        elif top in ABOVE.get(package, ()):
            broken.append(f"{package} may not import {name}")
        elif package == "afn_jax" and top in COMMANDS:
            broken.append(f"afn_jax may not import {name}")
        elif layer in MAY_IMPORT:
            if top in FORBIDDEN[layer] and not (top == "tyro" and where in DATA_COMMANDS):
                broken.append(f"{layer} may not import {name}")
            allowed = MAY_IMPORT[layer] | {layer, "__version__"}
            if top == "afn_jax" and (not rest or rest[0] not in allowed):
                broken.append(f"{layer} may not import {name}")
    return broken


def test_imports_point_down():
    assert violations(ROOT) == []


def test_data_has_at_most_twelve_entries():
    entries = [p for p in (ROOT / "afn_jax" / "data").iterdir() if not p.name.startswith("__")]
    assert 0 < len(entries) <= 12, sorted(p.name for p in entries)


def test_nothing_imports_a_test_module():
    """Helpers of several test files are in modules of their own."""
    files = sorted((ROOT / "tests").rglob("*.py"))
    assert files
    for path in files:
        for name in imported(ast.parse(path.read_text(encoding="utf-8"))):
            assert not (name.startswith("tests.") and ".test_" in name), f"{path} imports {name}"


def test_rejects_an_empty_tree(tmp_path):
    with pytest.raises(ValueError, match="no files of .*types, .*ops, losses"):
        violations(tmp_path)


@pytest.mark.parametrize(
    "path, code, message",
    [
        ("afn_jax/ops/bad.py", "import afn_jax.losses", "ops may not import afn_jax.losses"),
        ("afn_jax/ops/bad.py", "from flax import linen", "ops may not import flax.linen"),
        ("afn_jax/losses/bad.py", "import flax.linen as nn", "losses may not import flax.linen"),
        ("afn_jax/nn/bad.py", "from afn_jax import models", "nn may not import afn_jax.models"),
        ("afn_jax/nn/bad.py", "from afn_jax.losses import x", "nn may not import afn_jax.losses.x"),
        ("afn_jax/data/bad.py", "def f():\n    import jax", "data may not import jax"),
        (
            "afn_jax/data/bad.py",
            "from afn_jax.types import Batch",
            "data may not import afn_jax.types",
        ),
        ("afn_jax/data/sources/bad.py", "import flax", "data may not import flax"),
        ("afn_jax/data/prepare/bad.py", "import tyro", "data may not import tyro"),
        ("afn_jax/models/bad.py", "import tyro", "models may not import tyro"),
        ("afn_jax/models/bad.py", "from train import step", "afn_jax may not import train.step"),
        ("afn_jax/viz/bad.py", "import eval.report", "afn_jax may not import eval.report"),
        ("afn_jax/ops/bad.py", "from ..losses import x", "may not import relatively"),
        ("afn_jax/__init__.py", "import jax", "may import nothing"),
        ("afn_jax/utils/bad.py", "", "say in MAY_IMPORT"),
        ("train/bad.py", "from eval import report", "train may not import eval.report"),
        ("train/bad.py", "import study.runs", "train may not import study.runs"),
        ("eval/bad.py", "def f():\n    import study", "eval may not import study"),
        ("study/bad.py", "from tests import x", "study may not import tests.x"),
        ("train/bad.py", "import jax\njax.pmap(abs)", "only train/parallel.py may use pmap"),
        ("eval/bad.py", "from jax import pmap as p", "only train/parallel.py may use pmap"),
    ],
)
def test_finds_a_planted_violation(tmp_path, path, code, message):
    for part in (*(f"afn_jax/{part}" for part in MAY_IMPORT), *ABOVE):
        (tmp_path / part).mkdir(parents=True)
        (tmp_path / part / "__init__.py").write_text("")
    assert violations(tmp_path) == []
    bad = tmp_path / path
    bad.parent.mkdir(exist_ok=True, parents=True)
    bad.write_text(code)
    (found,) = violations(tmp_path)
    assert found.startswith(path) and message in found


def test_ignores_words_in_docstrings():
    assert not uses_pmap(ast.parse('"""Not pmap."""\n# pmap\nx = "pmap"'))
    assert uses_pmap(ast.parse("import jax\nstep = jax.pmap(abs)"))


def _run(code: str) -> str:
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=300
    )
    assert result.returncode == 0, result.stderr[-2000:]
    return result.stdout


def test_the_library_works_without_the_packages_of_the_commands():
    """As after `pip install afn_jax`: importing any of these packages is an error."""
    output = _run(
        f"""
import sys
for name in {sorted(ONLY_COMMANDS - FLAX_NEEDS)}:
    sys.modules[name] = None
import afn_jax.ops, afn_jax.losses, afn_jax.metrics, afn_jax.nn, afn_jax.models
print(afn_jax.models.list_models())
"""
    )
    assert "actionflownet" in output


def test_data_modules_do_not_import_jax():
    """A loader worker that starts JAX would claim the accelerator, or its memory, a second time.

    Importing JAX is an error here, because Grain imports it wherever it is installed.
    """
    output = _run(
        """
import importlib, pkgutil, sys
for name in ("jax", "jaxlib", "flax", "optax", "chex"):
    sys.modules[name] = None
import afn_jax.data
names = [module.name for module in pkgutil.walk_packages(afn_jax.data.__path__, "afn_jax.data.")]
for name in names:
    importlib.import_module(name)
print(*names)
"""
    )
    modules = [path for path in (ROOT / "afn_jax/data").rglob("*.py") if path.stem != "__init__"]
    missing = {path.stem for path in modules} - {name.split(".")[-1] for name in output.split()}
    assert modules and not missing
