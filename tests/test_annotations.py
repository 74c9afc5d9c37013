"""Public functions of the package have types; `make types` checks all public names with pyright."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def without_types(tree: ast.Module) -> list[str]:
    """Returns the public functions and methods of a module that lack an annotation."""
    found = []
    bodies = [("", tree.body)]
    while bodies:
        prefix, body = bodies.pop()
        for node in body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                bodies.append((f"{prefix}{node.name}.", node.body))
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and _is_public(node.name):
                if not _has_types(node, is_method=bool(prefix)):
                    found.append(prefix + node.name)
    return sorted(found)


def _is_public(name: str) -> bool:
    return not name.startswith("_") or name.startswith("__")


def _has_types(node: ast.FunctionDef | ast.AsyncFunctionDef, is_method: bool) -> bool:
    static = any(isinstance(d, ast.Name) and d.id == "staticmethod" for d in node.decorator_list)
    arguments = [*node.args.posonlyargs, *node.args.args][is_method and not static :]
    arguments += [*node.args.kwonlyargs, node.args.vararg, node.args.kwarg]
    # Without a return type, `__init__` returns None, and `__call__` of a network what it computes.
    returns = node.returns or node.name in ("__init__", "__call__", "setup")
    return bool(returns) and all(a is None or a.annotation for a in arguments)


def test_public_functions_have_types():
    files = sorted((ROOT / "afn_jax").rglob("*.py"))
    assert files
    found = {
        path.relative_to(ROOT).as_posix(): names
        for path in files
        if (names := without_types(ast.parse(path.read_text(encoding="utf-8"))))
    }
    assert found == {}


@pytest.mark.parametrize(
    ("code", "names"),
    [
        ("def f(a: int, *b: int, c: int = 1, **d: int) -> None: ...", []),
        ("def f(a) -> None: ...", ["f"]),
        ("def f(*a) -> None: ...", ["f"]),
        ("def f(*, a) -> None: ...", ["f"]),
        ("def f(): ...", ["f"]),
        ("def _f(a): ...", []),
        ("class A:\n    def __init__(self, a: int): ...", []),
        ("class A:\n    def __init__(self, a): ...", ["A.__init__"]),
        ("class A:\n    def __post_init__(self): ...", ["A.__post_init__"]),
        ("class A:\n    @staticmethod\n    def f(a) -> int: ...", ["A.f"]),
        ("class _A:\n    def f(self, a): ...", []),
    ],
)
def test_finds_what_lacks_a_type(code, names):
    assert without_types(ast.parse(code)) == names
