"""The wheel and the source distribution are complete and work outside of the checkout."""

import email
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

import afn_jax
from tests.class_folders import write_class

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parent.parent
NAME = f"afn_jax-{afn_jax.__version__}"
BUILD = (
    "import sys; from setuptools import build_meta; into = sys.argv[1]\n"
    "build_meta.build_wheel(into); build_meta.build_sdist(into)"
)


def run(*command, cwd, **environment):
    done = subprocess.run(
        list(map(str, command)),
        cwd=cwd,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout


def build(source, into):
    """Builds both in a folder without Git and without leftovers of other builds."""
    into.mkdir()
    run(sys.executable, "-c", BUILD, into, cwd=source)
    return into / f"{NAME}-py3-none-any.whl", into / f"{NAME}.tar.gz"


def files_in(wheel):
    return {name for name in zipfile.ZipFile(wheel).namelist() if not name.endswith("/")}


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Returns the paths of the wheel and the source distribution."""
    folder = tmp_path_factory.mktemp("package")
    source = folder / "source"
    skip = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "afn_jax", source / "afn_jax", ignore=skip)
    for path in ROOT.iterdir():
        if path.is_file():
            shutil.copy(path, source)
    return build(source, folder / "built")


@pytest.fixture(scope="module")
def tree():
    """Returns the files of the package in the checkout."""
    files = [path for path in (ROOT / "afn_jax").rglob("*") if path.is_file()]
    names = {path.relative_to(ROOT).as_posix() for path in files if "__pycache__" not in path.parts}
    assert {"afn_jax/py.typed", "afn_jax/conventions.md", "afn_jax/command/__main__.py"} <= names
    return names


def test_wheel_has_every_file_of_the_package_and_nothing_else(built, tree):
    files = files_in(built[0])
    information = {name for name in files if name.startswith(f"{NAME}.dist-info/")}
    assert files - information == tree
    assert {name.rpartition("/")[2] for name in information} == {
        *("METADATA", "RECORD", "WHEEL", "LICENSE", "entry_points.txt", "top_level.txt")
    }


def test_sdist_builds_the_same_wheel(built, tree, tmp_path):
    with tarfile.open(built[1]) as archive:
        archive.extractall(tmp_path, filter="data")
    source = tmp_path / NAME
    for name in (*tree, "pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", "CITATION.cff"):
        assert (source / name).read_bytes() == (ROOT / name).read_bytes(), name
    again, _ = build(source, tmp_path / "built")
    assert files_in(again) == files_in(built[0])


def test_metadata(built):
    archive = zipfile.ZipFile(built[0])
    read = {n.rpartition("/")[2]: archive.read(n).decode() for n in archive.namelist()}
    assert "afn-jax = afn_jax.command.__main__:console" in read["entry_points.txt"]
    metadata = email.message_from_string(read["METADATA"])
    assert metadata["Version"] == afn_jax.__version__
    requires = [line.partition(";") for line in metadata.get_all("Requires-Dist")]
    base = {what.strip().partition(">")[0] for what, _, extra in requires if not extra}
    predict = {what.strip() for what, _, extra in requires if '"predict"' in extra}
    assert base >= {"flax", "flatbuffers", "numpy"} and not base & {"av", "grain", "tyro"}
    assert "opencv-contrib-python-headless<6,>=4.11" in predict
    names = {what.partition(">")[0].partition("<")[0] for what in predict}
    assert names == {*("array-record", "av", "opencv-contrib-python-headless", "rich", "tyro")}


def test_installed_wheel_works_outside_of_the_checkout(built, tmp_path):
    """With the packages of this environment: pip would download the others."""
    site, work = tmp_path / "site", tmp_path / "work"
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet")
    run(*pip, "--no-deps", "--no-index", "--target", site, built[0], cwd=tmp_path)
    write_class(work / "videos" / "jump")
    write_class(work / "videos" / "run", value=10)
    command, where = site / "bin" / "afn-jax", {"cwd": work, "PYTHONPATH": str(site)}
    place = run(sys.executable, "-c", "import afn_jax; print(afn_jax.__file__)", **where)
    assert Path(place.strip()).parent == site / "afn_jax"
    assert run(command, "--version", **where) == f"afn_jax {afn_jax.__version__}\n"
    assert "no harmful problems found" in run(command, "check", "videos", **where)
    assert "train on it with" in run(
        *(command, "prepare", "shards", "--data", "video-folder", "--data.root", "videos"),
        *("--data.num-frames", "6", "--workers", "1"),
        **where,
    )
    for name in ("predict", "flow"):
        assert f"usage: afn-jax {name}" in run(command, name, "--help", **where)
