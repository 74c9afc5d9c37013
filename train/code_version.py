"""The version of the code that trains a run."""

import functools
import subprocess
from pathlib import Path

import afn_jax


@functools.cache
def code_version() -> str:
    """Returns e.g. "afn_jax 0.2.0, commit 3dc4796f0b32, changed".

    The commit is left out if the code is not in a git checkout of its own, or git is missing.
    """
    root = Path(afn_jax.__file__).resolve().parent.parent
    parts = [f"afn_jax {afn_jax.__version__}"]
    # A virtual environment may lie in the checkout of another project.
    found = (_git(root, "rev-parse", "--show-toplevel", "HEAD") or "").splitlines()
    if len(found) == 2 and Path(found[0]).resolve() == root:
        parts.append(f"commit {found[1][:12]}")
        if _git(root, "status", "--porcelain", "--untracked-files=no"):
            parts.append("changed")
    return ", ".join(parts)


def _git(folder: Path, *arguments: str) -> str | None:
    """Returns the output of git; None without git, or if it fails or takes too long."""
    try:
        done = subprocess.run(
            ["git", "--no-optional-locks", "-C", str(folder), *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=10,  # guessed; some network disks are slow
        )
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
