"""The version of the code that a run records."""

import subprocess

from train import code_version as version
from train.code_version import code_version


def git(folder, *arguments):
    subprocess.run(
        ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-C", str(folder), *arguments],
        check=True,
        capture_output=True,
    )


def test_the_version_has_the_commit_and_whether_it_was_changed(tmp_path, monkeypatch):
    package = tmp_path / "afn_jax"
    package.mkdir()
    (package / "__init__.py").write_text("")
    monkeypatch.setattr(version.afn_jax, "__file__", str(package / "__init__.py"))
    monkeypatch.setattr(version.afn_jax, "__version__", "7.8")
    assert code_version.__wrapped__() == "afn_jax 7.8"
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "first")
    head = (tmp_path / ".git" / "HEAD").read_text().removeprefix("ref: ").strip()
    commit = (tmp_path / ".git" / head).read_text()[:12]
    assert code_version.__wrapped__() == f"afn_jax 7.8, commit {commit}"
    (package / "__init__.py").write_text("changed")
    assert code_version.__wrapped__() == f"afn_jax 7.8, commit {commit}, changed"
    monkeypatch.setenv("PATH", str(tmp_path))  # no git there
    assert code_version.__wrapped__() == "afn_jax 7.8"


def test_an_outer_checkout_is_not_that_of_the_code(tmp_path, monkeypatch):
    git(tmp_path, "init", "-q")
    git(tmp_path, "commit", "-qm", "first", "--allow-empty")
    package = tmp_path / "venv" / "afn_jax"
    package.mkdir(parents=True)
    monkeypatch.setattr(version.afn_jax, "__file__", str(package / "__init__.py"))
    assert "commit" not in code_version.__wrapped__()
