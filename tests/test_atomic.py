"""Files appear whole or not at all."""

import errno
import os
import subprocess
import sys

import pytest

from afn_jax.atomic import (
    complete_or_absent,
    is_temporary,
    move_without_replacing,
    naming_path,
    temporary_path,
    write_atomically,
)


@pytest.mark.parametrize("content", ["färg\n", b"\x00\xff"])
def test_writes_text_and_bytes(tmp_path, content):
    path = tmp_path / "file"
    path.write_text("old")
    write_atomically(path, content)
    assert path.read_bytes() == (content.encode() if isinstance(content, str) else content)
    assert list(tmp_path.iterdir()) == [path]


def test_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "file"
    path.write_text("old")

    def full_disk(source, target):
        raise OSError("no space left on device")

    monkeypatch.setattr(os, "replace", full_disk)
    with pytest.raises(OSError, match="no space left"):
        write_atomically(path, "new")
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_removes_what_killed_processes_left(tmp_path):
    path, mark = tmp_path / "file", "0123456789abcdef" * 2
    old, young, other = (tmp_path / f".{name}.{mark}" for name in ("file", "file2", "file.txt"))
    for file in (old, young, other):
        file.write_text("half")
    young = old.rename(tmp_path / f".file.{'f' * 32}")
    old.write_text("half")
    os.utime(old, (0, 0))
    os.utime(other, (0, 0))
    write_atomically(path, "new")
    assert not old.exists() and young.exists() and other.exists()


def test_removes_at_once_what_an_ended_process_of_this_computer_left(tmp_path):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    living = temporary_path(tmp_path / "file")
    name = living.name.replace(f"{os.getpid():08x}", f"{ended.pid:08x}")
    left = [tmp_path / name, tmp_path / f"{name}.raw"]
    for file in (living, *left):
        file.write_text("half")
    assert is_temporary(name) and is_temporary(left[1].name) and not is_temporary(".file.txt")
    write_atomically(tmp_path / "file", "new")
    assert {path.name for path in tmp_path.iterdir()} == {"file", living.name}


@pytest.mark.parametrize("links", [True, False])
def test_a_move_replaces_nothing(tmp_path, monkeypatch, links):
    if not links:

        def link(source, target):
            raise PermissionError(errno.EPERM, "Operation not permitted")

        monkeypatch.setattr(os, "link", link)
    (tmp_path / "full").mkdir()
    (tmp_path / "full/mine").write_text("mine")
    (tmp_path / "mine").write_text("mine")
    os.symlink("nowhere", tmp_path / "link")
    for source in ("file", "folder"):
        path = tmp_path / source
        path.write_text("new") if source == "file" else path.mkdir()
        for target in ("full", "mine", "link"):
            with pytest.raises(FileExistsError) as taken:
                move_without_replacing(path, tmp_path / target)
            assert taken.value.filename == str(tmp_path / target) and path.exists()
        move_without_replacing(path, tmp_path / f"{source}2")
    assert {path.name for path in tmp_path.iterdir()} == {
        "full",
        "mine",
        "link",
        "file2",
        "folder2",
    }
    assert (tmp_path / "full/mine").read_text() == (tmp_path / "mine").read_text() == "mine"


def test_a_full_disk_names_the_file(tmp_path):
    with pytest.raises(OSError, match="No space left on device: 'a/b'") as full:
        with naming_path("a/b"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert full.value.errno == errno.ENOSPC


def test_errors_name_the_result_instead_of_the_temporary_file(tmp_path):
    path = tmp_path / "gone" / "file"
    for write in (lambda: write_atomically(path, "x"), lambda: _write_into(path)):
        with pytest.raises(FileNotFoundError) as missing:
            write()
        assert missing.value.filename == str(path)


def _write_into(path):
    with complete_or_absent(path) as unfinished:
        (unfinished / "inside").write_text("x")


def test_names_that_are_not_utf8_are_escaped(tmp_path):
    write_atomically(tmp_path / "file", "caf\udce9 é\n")
    assert (tmp_path / "file").read_bytes() == "caf\\udce9 é\n".encode()


def test_a_file_or_folder_is_complete_or_absent(tmp_path):
    path = tmp_path / "a"
    with complete_or_absent(path) as unfinished:
        unfinished.mkdir()
        (unfinished / "b").write_text("new")
        assert not path.exists()
    assert (path / "b").read_text() == "new"
    with pytest.raises(ZeroDivisionError):
        with complete_or_absent(tmp_path / "c") as unfinished:
            unfinished.mkdir()
            (unfinished / "b").write_text("half")
            raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == [path]
    abandoned = tmp_path / f".c.{'0' * 32}"
    abandoned.mkdir()
    os.utime(abandoned, (0, 0))
    with complete_or_absent(tmp_path / "c") as unfinished:
        unfinished.write_text("new")
    assert not abandoned.exists() and (tmp_path / "c").read_text() == "new"
