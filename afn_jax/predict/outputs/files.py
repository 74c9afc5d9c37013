"""The output files of one video: they appear together when all of them are complete."""

import contextlib
import csv
import os
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from afn_jax.atomic import naming_path

PART = ".afn-part"  # ends the names of files that are not complete


class OutputFiles:
    """Names of the outputs of a video, and temporary names while they are written.

    A `with` statement removes the temporary files if an error is raised inside.
    """

    folder: Path
    name: str

    def __init__(self, folder: Path, name: str):
        """Takes the output folder and the stem of the names."""
        self.folder, self.name = Path(folder), name
        self.files: dict[str, str] = {}

    def part(self, kind: str, ending: str) -> Path:
        """Returns where to write an output until `publish` renames it to `name + ending`."""
        self.files[kind] = self.name + ending
        return self._part(self.files[kind])

    def complete(self, kind: str, ending: str) -> Path:
        """Returns the path of an output whose writer renames it itself."""
        self.files[kind] = self.name + ending
        return self.folder / self.files[kind]

    def publish(self) -> None:
        """Renames all temporary files."""
        for file in self.files.values():
            with contextlib.suppress(FileNotFoundError):
                os.replace(self._part(file), self.folder / file)

    def __enter__(self) -> "OutputFiles":
        return self

    def __exit__(self, *error: Any) -> None:
        for file in self.files.values():
            with contextlib.suppress(OSError):
                self._part(file).unlink(missing_ok=True)

    def _part(self, file: str) -> Path:
        return self.folder / f".{file}{PART}"


class Table:
    """A CSV file that is written row by row, UTF-8; a context manager."""

    def __init__(self, path: Path, columns: Sequence[str]):
        """Opens the file and writes the names of the columns."""
        self._path = path
        with naming_path(path):
            self._file = open(path, "w", encoding="utf-8", errors="backslashreplace", newline="")
        self._rows = csv.writer(self._file, lineterminator="\n")
        self.write([columns])

    def write(self, rows: Iterable[Sequence[Any]]) -> None:
        """Writes rows; numbers with a fraction get four digits."""
        with naming_path(self._path):
            self._rows.writerows([_shown(value) for value in row] for row in rows)

    def __enter__(self) -> "Table":
        return self

    def __exit__(self, *error: Any) -> None:
        with naming_path(self._path):
            self._file.close()


def _shown(value: Any) -> Any:
    return f"{value:.4f}" if isinstance(value, float) else value


class ArrayFile:
    """A `.npy` file of float32 or float64 that grows row by row."""

    path: Path

    def __init__(self, path: Path, row_shape: tuple[int, ...], dtype: type):
        """Opens the file."""
        self.path, self._shape, self._dtype = path, row_shape, np.dtype(dtype)
        self._count = 0
        with naming_path(path):
            self._file = open(path, "w+b")
            self._header()

    def add(self, row: np.ndarray) -> None:
        """Appends a row."""
        with naming_path(self.path):
            self._file.write(np.ascontiguousarray(row, self._dtype).tobytes())
        self._count += 1

    def _header(self) -> None:
        # NumPy pads the header, so that the number of rows can be written at the end.
        np.lib.format.write_array_header_1_0(
            self._file,
            {
                "descr": np.lib.format.dtype_to_descr(self._dtype),
                "fortran_order": False,
                "shape": (self._count, *self._shape),
            },
        )

    def close(self) -> None:
        """Completes the file."""
        with naming_path(self.path), self._file:
            self._file.seek(0)
            self._header()

    def discard(self) -> None:
        """Closes and removes the file."""
        with contextlib.suppress(OSError):
            self._file.close()
        with contextlib.suppress(OSError):
            self.path.unlink(missing_ok=True)


def pack_arrays(path: Path, arrays: dict[str, ArrayFile], *, complete: bool) -> None:
    """Moves growing arrays into one `.npz` file, without reading them; removes them.

    With `complete` False only removes them.
    """
    try:
        if complete:
            with naming_path(path), zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
                for name, array in arrays.items():
                    array.close()
                    archive.write(array.path, f"{name}.npy")
    finally:
        for array in arrays.values():
            array.discard()
