"""Parsers of prepared datasets: shards, their manifest and codecs; the cache of frame indices."""

import json
import random
import struct
import tempfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from afn_jax.data.files.video import VideoIndex
from afn_jax.data.shards.flow_codec import FlowFormat, decode_flow, encode_flow
from afn_jax.data.shards.frame_codec import FrameFormat, decode_frames, encode_frames
from afn_jax.data.shards.manifest import PreparedDataset, Split, StoredFlow, claim_folder
from afn_jax.data.shards.record import ShardWriter, read_index, read_records, shard_name
from afn_jax.data.sources.index_cache import IndexCache, pack, unpack
from afn_jax.data.sources.shards import Shards
from benchmarks.fuzzing.flow_files import check_flow
from benchmarks.fuzzing.mutations import mutate, mutate_json
from benchmarks.fuzzing.parser import Files, Parser, require
from benchmarks.fuzzing.pictures import flow, frames

_FORM = {codec: FrameFormat(codec, quality, 4) for codec, quality in (("jpeg", 90), ("h264", 20))}
_FORM["vp9"] = FrameFormat("vp9", 30, 4)
_SIZE = (48, 64)
_SHARD = shard_name("train", 0, 1)


def _group(form: FrameFormat, with_flow: bool) -> list[bytes]:
    parts = encode_frames(frames(4), form)
    values, known = flow(*_SIZE)
    return parts + [encode_flow(values, known, FlowFormat())] * 4 * with_flow


def _dataset_seeds() -> list[Files]:
    return [_dataset(codec, with_flow) for codec in _FORM for with_flow in (True, False)]


def _dataset(codec: str, with_flow: bool) -> Files:
    form = _FORM[codec]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "data"
        stored = StoredFlow("own") if with_flow else None
        split = Split(1, 2, "0" * 16)
        settings = {"source": "video-folder", "root": "/videos", "list_number": 1}
        dataset = PreparedDataset(("run", "jump"), form, stored, {"train": split}, settings)
        claim_folder(folder, dataset)
        with ShardWriter(folder / _SHARD) as writer:
            videos = []
            for place in range(2):
                video = {"record": writer.num_records, "place": place, "name": f"v{place}"}
                video |= {"label": place, "num_frames": 8, "fps": 25.0, "size": _SIZE}
                videos.append(video)
                for _ in range(2):
                    writer.add(_group(form, with_flow))
            writer.finish({"videos": videos, "skipped": [{"path": "x", "reason": "damaged"}]})
        return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def _read_dataset(folder: Path) -> None:
    videos = Shards(folder)
    for i in range(min(len(videos), 4)):
        video = videos[i]
        require(type(video.num_frames) is int and video.num_frames > 0, "num_frames")
        require(type(video.label) is int, "label")
        require(0 <= video.label < len(videos.class_names), "label out of range")
        wanted = np.array([0, video.num_frames - 1, 0])
        clip = video.clip(wanted)
        require(clip.frames.shape == (3, *video.size, 3), "shape of the clip")
        require(clip.frames.dtype == np.uint8, "dtype of the clip")
        if video.has_flow:
            require(bool(np.isfinite(clip.flows).all()), "flow is not finite")
            require(clip.flow_mask.dtype == bool, "mask of the flow")


def _reshape_dataset(rng: random.Random, content: bytes) -> bytes:
    """Writes the shard again with a changed part or a changed index; JSON is changed as such."""
    if content[:1] in b"{[":
        return mutate_json(rng, content)
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / _SHARD
        path.write_bytes(content)
        try:
            index = json.dumps(read_index(path)).encode()
            records = [[bytes(p) for p in parts] for parts in read_records(path, range(4))]
        except OSError:  # damaged before
            return mutate(rng, content, (), False)
        if rng.random() < 0.6:
            index = mutate_json(rng, index)
        else:
            parts = rng.choice(records)
            number = rng.randrange(len(parts))
            parts[number] = mutate(rng, parts[number], parts, False)
        with ShardWriter(path) as writer:
            for parts in records:
                writer.add(parts[: rng.randint(0, len(parts))] if rng.random() < 0.05 else parts)
            try:
                writer.finish(json.loads(index))
            except (ValueError, RecursionError):  # this writer writes only JSON
                return mutate(rng, content, (), False)
        return path.read_bytes()


def _codec_seeds() -> list[Files]:
    return [
        {f"{codec}/{i}": part for i, part in enumerate(encode_frames(frames(4), form))}
        for codec, form in _FORM.items()
    ]


def _read_frames(folder: Path) -> None:
    (stream,) = folder.iterdir()
    parts = [path.read_bytes() for path in sorted(stream.iterdir())]
    out = np.zeros((2, *_SIZE, 3), np.uint8)
    decode_frames(parts, [1, 3], _FORM[stream.name], out)


def _flow_seeds() -> list[Files]:
    values, known = flow(*_SIZE)
    fields = ((values, known), (values, None), (np.zeros_like(values), None))
    return [{"flow": encode_flow(*field, FlowFormat())} for field in fields]


def _reshape_flow(rng: random.Random, content: bytes) -> bytes:
    reach = rng.choice((0.0, -1.0, 1e-30, 1e30, float("nan"), float("inf"), 20.0))
    lengths = (0, 1, len(content) - 8, len(content), 2**31, 2**32 - 1)
    header = bytearray(content[:8].ljust(8, b"\0"))
    if rng.random() < 0.5:
        header[:4] = struct.pack("<f", reach)
    else:
        header[4:] = struct.pack("<I", max(0, rng.choice(lengths)))
    return bytes(header) + content[8:]


def _read_flow(folder: Path) -> None:
    values, known = decode_flow((folder / "flow").read_bytes(), _SIZE)
    require(values.shape == (*_SIZE, 2) and known.shape == _SIZE, "shape")
    check_flow(np.where(known[..., None], values, np.float32(0)), known)


_VIDEO = "a/b.mp4"


def _cache_seeds() -> list[Files]:
    pts = np.arange(20) * 512
    index = VideoIndex(20, pts, np.array([0, 8, 16]), True, 25.0, 48, 64, 1 / 12800)
    with tempfile.TemporaryDirectory() as name:
        cache = IndexCache(Path(name), Path("/videos"))
        for video in (_VIDEO, "c.avi"):
            cache.put(video, _stat(), pack(index))
        cache.save()
        (path,) = Path(name).iterdir()
        return [{path.name: path.read_bytes()}]


def _stat() -> SimpleNamespace:
    return SimpleNamespace(st_size=1000, st_mtime_ns=7)


def _read_cache(folder: Path) -> None:
    packed = IndexCache(folder, Path("/videos")).get(_VIDEO, _stat())
    if packed is None:
        return
    index = unpack(packed)
    require(len(index.pts) == index.num_frames > 0, "as many times as frames")
    require(index.height > 0 and index.width > 0, "size")
    require(index.time_base >= 0, "time base")


PARSERS = [
    Parser(
        "shards and dataset.json",
        "Shards, ShardVideo.clip",
        ("ValueError", "VideoReadError"),
        _dataset_seeds,
        _read_dataset,
        reshape=_reshape_dataset,
        cost=6,
    ),
    Parser(
        "dataset.json",
        "read_dataset, Shards",
        ("ValueError", "VideoReadError"),
        lambda: [_dataset("jpeg", True)],
        _read_dataset,
        text=True,
        reshape=mutate_json,
        mutable=(".json",),
        cost=2,
    ),
    Parser("frame codecs", "decode_frames", ("ValueError",), _codec_seeds, _read_frames, cost=2),
    Parser(
        "flow codec", "decode_flow", ("ValueError",), _flow_seeds, _read_flow, reshape=_reshape_flow
    ),
    Parser(
        "cache of frame indices",
        "IndexCache, unpack",
        (),
        _cache_seeds,
        _read_cache,
        cost=2,
    ),
]
