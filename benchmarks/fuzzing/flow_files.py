"""Parsers of pictures and flow files, and the split file of FlyingChairs."""

import tempfile
from pathlib import Path

import numpy as np

from afn_jax.data.files.flow import read_flow, write_flow
from afn_jax.data.files.image import read_mask, read_picture
from afn_jax.data.files.pfm import read_pfm, write_pfm
from afn_jax.data.sources.flow.chairs import flying_chairs
from afn_jax.data.sources.flow.kitti import read_kitti_truth
from afn_jax.data.sources.flow.sintel import read_sintel_truth
from benchmarks.fuzzing.formats import PNG_START, png
from benchmarks.fuzzing.mutations import fields, mutate_text
from benchmarks.fuzzing.parser import Files, Parser, require
from benchmarks.fuzzing.pictures import flow, frames, picture


def _written(suffix: str, known: bool = True) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"a{suffix}"
        values, mask = flow()
        write_flow(path, values, mask if known else None)
        return path.read_bytes()


def _map(values: np.ndarray) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        write_pfm(Path(folder) / "a.pfm", values)
        return (Path(folder) / "a.pfm").read_bytes()


def _flow_seeds(suffix: str):
    return lambda: [{f"a{suffix}": _written(suffix, known)} for known in (True, False)]


def check_flow(values: np.ndarray, known: np.ndarray) -> None:
    """The promises of `read_flow`."""
    require(values.dtype == np.float32 and values.ndim == 3 and values.shape[-1] == 2, "flow")
    require(known.dtype == bool and known.shape == values.shape[:2] and known.size, "mask")
    require(bool(np.isfinite(values).all()), "flow is not finite")
    require(not values[~known].any(), "flow is not 0 where it is unknown")


def _read_flow(folder: Path) -> None:
    (path,) = folder.iterdir()
    check_flow(*read_flow(path))


def _read_pfm(folder: Path) -> None:
    values = read_pfm(folder / "a.pfm")
    require(values.dtype == np.float32, f"dtype {values.dtype}")
    require(values.ndim == 2 or values.shape[2:] == (3,), f"shape {values.shape}")
    require(bool(values.size), "no pixels")


def _picture_seeds() -> list[Files]:
    image = frames(1)[0]
    seeds: list[Files] = [{"a": picture(ext, image)} for ext in (".png", ".jpg", ".ppm", ".bmp")]
    seeds += [{"a": picture(ext, image)} for ext in (".webp", ".tiff")]
    return seeds + [{"a": picture(ext, image[..., 0])} for ext in (".png", ".pgm")]


def _read_picture(folder: Path) -> None:
    image, mask = read_picture(folder / "a"), read_mask(folder / "a")
    require(image.dtype == np.uint8 and image.ndim == 3 and image.shape[-1] == 3, "picture")
    require(mask.dtype == bool and mask.ndim == 2 and mask.size, "mask")


def _reshape_picture(rng, content: bytes) -> bytes:
    if content.startswith(PNG_START):
        return png(rng, content)
    if content[:1] == b"P":  # the header of PPM and PGM is text
        return mutate_text(rng, content[:16]) + content[16:]
    at = rng.choice((0, 2, 10, 18, 22, 28, 160, 163))  # sizes in BMP, JPEG and WebP
    return fields((at, rng.choice(("<I", ">H", "<H"))))(rng, content)


def _truth_seeds() -> list[Files]:
    mask = (flow()[1] * 255).astype(np.uint8)
    kitti = _written(".png")
    return [
        {
            "flow.flo": _written(".flo"),
            "a.png": picture(".png", mask),
            "b.png": kitti,
            "c.png": kitti,
        }
    ]


def _read_truths(folder: Path) -> None:
    first = read_sintel_truth(
        str(folder / "flow.flo"), occlusions=str(folder / "a.png"), invalid=str(folder / "a.png")
    )
    second = read_kitti_truth(str(folder / "b.png"), str(folder / "c.png"))
    for truth in (first, second):
        check_flow(truth.flow, truth.known if truth is second else truth.known | True)
        require(truth.occluded.shape == truth.known.shape, "occluded")


def _chairs_seeds() -> list[Files]:
    files: Files = {"FlyingChairs_train_val.txt": b"1\n1\n2\n1\n"}
    for number in range(1, 5):
        files[f"data/{number:05d}_flow.flo"] = _written(".flo")
        for frame in (1, 2):
            files[f"data/{number:05d}_img{frame}.ppm"] = picture(".ppm", frames(1, 6, 8)[0])
    return [files]


def _read_chairs(folder: Path) -> None:
    for split in ("train", "test"):
        data = flying_chairs(folder, split=split)
        require(1 <= len(data) <= 4, f"{len(data)} pairs")


PARSERS = [
    Parser(
        ".flo",
        "read_flow",
        ("ValueError",),
        _flow_seeds(".flo"),
        _read_flow,
        reshape=fields((4, "<i"), (8, "<i")),
    ),
    Parser(
        "KITTI .png", "read_flow", ("ValueError",), _flow_seeds(".png"), _read_flow, reshape=png
    ),
    Parser(
        ".pfm flow",
        "read_flow",
        ("ValueError",),
        _flow_seeds(".pfm"),
        _read_flow,
        reshape=lambda rng, data: mutate_text(rng, data[:12]) + data[12:],
    ),
    Parser(
        ".pfm map",
        "read_pfm",
        ("ValueError",),
        lambda: [{"a.pfm": _map(flow()[0][..., 0])}, {"a.pfm": _map(np.ones((4, 5, 3)))}],
        _read_pfm,
        reshape=lambda rng, data: mutate_text(rng, data[:12]) + data[12:],
    ),
    Parser(
        "pictures",
        "read_picture, read_mask",
        ("ValueError",),
        _picture_seeds,
        _read_picture,
        reshape=_reshape_picture,
        cost=2,
    ),
    Parser(
        "true flow and masks",
        "read_sintel_truth, read_kitti_truth",
        ("ValueError",),
        _truth_seeds,
        _read_truths,
        reshape=_reshape_picture,
    ),
    Parser(
        "FlyingChairs split",
        "flying_chairs",
        ("ValueError",),
        _chairs_seeds,
        _read_chairs,
        text=True,
        mutable=(".txt",),
    ),
]
