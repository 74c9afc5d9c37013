"""Flow datasets in their official layouts: small ones made here, and the real samples."""

import shutil

import cv2
import jax.numpy as jnp
import numpy as np
import pytest

from afn_jax.data.clip_reader import ClipReader
from afn_jax.data.config import DataConfig
from afn_jax.data.files.flow import read_flo, write_flow
from afn_jax.data.source import VideoReadError
from afn_jax.data.sources import create_source
from afn_jax.data.sources.flow.chairs import flying_chairs
from afn_jax.data.sources.flow.kitti import kitti
from afn_jax.data.sources.flow.middlebury import middlebury
from afn_jax.data.sources.flow.sintel import sintel
from afn_jax.types import Batch, Prediction
from train.objectives import flow_and_target

HEIGHT, WIDTH = 12, 16


def picture(path, value, size=(HEIGHT, WIDTH)):
    """Writes an image filled with `value`, a gray level or the value of a mask."""
    path.parent.mkdir(parents=True, exist_ok=True)
    gray = np.broadcast_to(np.asarray(value, np.uint8), size)
    cv2.imwrite(str(path), np.stack([gray] * 3, -1))


def flow(path, x, known=None, size=(HEIGHT, WIDTH)):
    """Writes a flow of `x` px to the right everywhere."""
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.zeros((*size, 2), np.float32)
    values[..., 0] = x
    write_flow(path, values, known)


def mask(*columns):
    values = np.zeros((HEIGHT, WIDTH), bool)
    values[:, columns] = True
    return values


def make_chairs(root, numbers=(1, 2, 3, 5)):
    for n in numbers:
        for i in (1, 2):
            picture(root / f"data/{n:05d}_img{i}.ppm", 10 * n + i)
        flow(root / f"data/{n:05d}_flow.flo", n)
    return root


def make_sintel(root, scenes=("alley", "bamboo", "cave"), num_frames=4):
    for s, scene in enumerate(scenes):
        for n in range(1, num_frames + 1):
            picture(root / f"training/clean/{scene}/frame_{n:04d}.png", 10 * s + n)
            picture(root / f"training/final/{scene}/frame_{n:04d}.png", 100 + 10 * s + n)
        for n in range(1, num_frames):
            flow(root / f"training/flow/{scene}/frame_{n:04d}.flo", 10 * s + n)
            picture(root / f"training/occlusions/{scene}/frame_{n:04d}.png", 255 * mask(1, 2))
            picture(root / f"training/invalid/{scene}/frame_{n:04d}.png", 255 * mask(2, 3))
    return root


def make_kitti(root, folder, pairs=("000000", "000001"), frames=(10, 11)):
    for p, pair in enumerate(pairs):
        for n in frames:
            picture(root / f"training/{folder}/{pair}_{n:02d}.png", 50 * p + n)
        flow(root / f"training/flow_occ/{pair}_10.png", p + 0.5, mask(*range(8)))
        flow(root / f"training/flow_noc/{pair}_10.png", p + 0.5, mask(*range(6)))
    return root


def make_middlebury(root, scenes=("Army", "Grove2"), frames=(10, 11)):
    for s, scene in enumerate(scenes):
        for n in frames:
            picture(root / f"other-data/{scene}/frame{n:02d}.png", 10 * s + n)
        flow(root / f"other-gt-flow/{scene}/flow10.flo", s + 1, ~mask(0))
    return root


def assert_pair(video, first, x):
    """Checks gray frames `first` and `first + 1`; only the flow between them is known."""
    clip = video.clip(np.arange(2))
    assert video.num_frames == 2 and video.has_flow and video.label == 0
    assert (clip.frames[0] == first).all() and (clip.frames[1] == first + 1).all()
    assert clip.flows.shape == (2, HEIGHT, WIDTH, 2) and clip.flows.dtype == np.float32
    assert (clip.flows[0][clip.flow_mask[0]] == (x, 0)).all()
    return clip.flow_mask


# ---------------------------------------------------------------- FlyingChairs


def test_chairs_follow_the_official_split(tmp_path):
    root = make_chairs(tmp_path / "FlyingChairs_release")
    (root / "FlyingChairs_train_val.txt").write_text("1\n2\n1\n1\n")
    train = flying_chairs(root)
    assert [video.name for video in train] == ["data/00001_img1", "data/00003_img1"]
    assert {skip.reason for skip in train.skipped} == {
        "listed but missing",
        "not in the list of the split",
    }
    assert [skip.path.rpartition("/")[2] for skip in train.skipped] == [
        "00005_flow.flo",
        "00004_flow.flo",
    ]
    known = assert_pair(train[1], 31, 3)
    assert known[0].all() and not known[1].any()
    (test,) = flying_chairs(root / "data", split="test")
    assert_pair(test, 21, 2)
    assert len(flying_chairs(tmp_path, split="all")) == 4


def test_the_official_list(tmp_path, shared_data):
    root = make_chairs(tmp_path, numbers=(1, 6))
    lists = shared_data / "lists_flow/chairs_split.txt"
    train = flying_chairs(root, annotations=lists)
    test = flying_chairs(root, annotations=lists, split="test")
    assert (len(train), len(train.skipped), len(test), len(test.skipped)) == (1, 22231, 1, 639)


def test_chairs_reject_wrong_folders_and_lists(tmp_path):
    with pytest.raises(ValueError, match="holds no FlyingChairs: no 00001_flow.flo"):
        flying_chairs(tmp_path / "nowhere")
    root = make_chairs(tmp_path)
    with pytest.raises(ValueError, match="the official split of FlyingChairs.* is not in"):
        flying_chairs(root)
    (root / "chairs_split.txt").write_text("1\n1\n3\n")
    with pytest.raises(ValueError, match=r"line 3 is '3'; each line must be 1 \(train\) or 2"):
        flying_chairs(root)
    (root / "chairs_split.txt").write_text("1\n1\n")
    with pytest.raises(ValueError, match="none of the 0 test pairs"):
        flying_chairs(root, split="test")
    with pytest.raises(ValueError, match="annotations: there is no file"):
        flying_chairs(root, annotations=tmp_path / "a.txt")
    with pytest.raises(ValueError, match="got 3, but no sequence of this dataset has more than 2"):
        flying_chairs(root, num_frames=3)
    with pytest.raises(ValueError, match="split: got 'val'; allowed: 'train', 'test', 'all'"):
        flying_chairs(root, split="val")


# ---------------------------------------------------------------- Sintel


@pytest.mark.parametrize("render, level", [("clean", 0), ("final", 100)])
def test_sintel_pairs_and_masks(tmp_path, render, level):
    make_sintel(tmp_path)
    dataset = sintel(tmp_path, split="all", render=render)
    assert len(dataset) == 9 and len(dataset.sequences) == 3 and not dataset.skipped
    assert dataset[4].name == f"training/{render}/bamboo/frame_0002"
    known = assert_pair(dataset[4], level + 12, 12)
    np.testing.assert_array_equal(known[0], ~mask(2, 3))
    truth = dataset.sequences[1].truth(1)
    np.testing.assert_array_equal(truth.occluded, mask(1, 2))
    assert sintel(tmp_path / "training", split="all", count_invalid=True)[0].truth(0).known.all()


def test_sintel_sequences_and_their_future_flow(tmp_path):
    make_sintel(tmp_path)
    clips = sintel(tmp_path, split="all", num_frames=3)
    assert [clip.frame_name(0)[-1] for clip in clips] == ["1", "2"] * 3
    clip = clips[0].clip(np.arange(3))
    np.testing.assert_array_equal(clip.flows[:, 0, 0, 0], [1, 2, 3])  # the last one: the future
    clip = clips[1].clip(np.arange(3))
    np.testing.assert_array_equal(clip.flow_mask.any((1, 2)), [True, True, False])


def test_sequences_are_cut_at_gaps(tmp_path):
    make_sintel(tmp_path, scenes=("alley",), num_frames=6)
    (tmp_path / "training/clean/alley/frame_0003.png").unlink()
    (tmp_path / "training/occlusions/alley/frame_0001.png").unlink()
    dataset = sintel(tmp_path, split="all")
    assert [sequence.num_frames for sequence in dataset.sequences] == [2, 3]
    assert [(skip.path, skip.reason) for skip in dataset.skipped] == [
        ("training/clean/alley, frame 2", "true flow, but frame 3 is missing"),
        ("training/clean/alley, frame 3", "true flow, but frame 3 is missing"),
    ]
    assert dataset[0].truth(0).occluded is None


def test_scenes_are_in_one_split_only(tmp_path):
    make_sintel(tmp_path, scenes=[f"scene_{i}" for i in range(10)], num_frames=3)
    sides = [
        {video.folder for video in sintel(tmp_path, split=split)} for split in ("train", "test")
    ]
    assert len(sides[0]) == 8 and len(sides[1]) == 2 and not sides[0] & sides[1]


def test_real_sintel(shared_data):
    dataset = sintel(shared_data / "flow_sintel", split="all", render="final")
    names = [
        "alley_1/frame_0001",
        "alley_1/frame_0002",
        "alley_1/frame_0003",
        "market_5/frame_0002",
    ]
    assert [video.name for video in dataset] == [f"training/final/{name}" for name in names]
    truth = dataset[3].truth(0)
    assert truth.flow.shape == (436, 1024, 2) and 0.1 < truth.occluded.mean() < 0.5
    assert dataset[0].truth(0).occluded is None and truth.known.mean() > 0.5
    assert dataset[0].clip(np.arange(2)).frames.shape == (2, 436, 1024, 3)


# ---------------------------------------------------------------- KITTI and Middlebury


@pytest.mark.parametrize(
    "year, folder", [(2012, "colored_0"), (2012, "image_0"), (2015, "image_2")]
)
def test_kitti(tmp_path, year, folder):
    make_kitti(tmp_path, folder)
    dataset = kitti(tmp_path, year=year, split="all")
    assert [video.name for video in dataset] == [
        f"training/{folder}/{pair}_10" for pair in ("000000", "000001")
    ]
    known = assert_pair(dataset[1], 60, 1.5)
    np.testing.assert_array_equal(known[0], mask(*range(8)))
    truth = dataset[1].truth(0)
    np.testing.assert_array_equal(truth.occluded, mask(6, 7))
    with pytest.raises(ValueError, match=f"it looks like KITTI {year}"):
        kitti(tmp_path, year=4027 - year)
    (tmp_path / "training/flow_noc/000001_10.png").unlink()
    assert kitti(tmp_path / "training", year=year, split="all")[1].truth(0).occluded is None
    assert len(kitti(tmp_path, year=year)) == len(kitti(tmp_path, year=year, split="test")) == 1


@pytest.mark.parametrize("make, opens", [(make_kitti, kitti), (make_middlebury, middlebury)])
def test_sequences_include_the_frames_around_a_pair(tmp_path, make, opens):
    options = {"year": 2015} if opens is kitti else {}
    make(tmp_path, *(["image_2"] if options else []), frames=range(8, 14))
    dataset = opens(tmp_path, split="all", **options)
    assert len(dataset) == 2 and dataset.sequences[0].pairs == (2,)
    clips = opens(tmp_path, split="all", num_frames=4, **options)
    assert len(clips) == 6 and all(clip.pairs for clip in clips)
    np.testing.assert_array_equal(clips[1].clip(np.arange(4)).frames[:, 0, 0, 0], [9, 10, 11, 12])


def test_middlebury(tmp_path):
    make_middlebury(tmp_path)
    shutil.rmtree(tmp_path / "other-gt-flow/Army")
    dataset = middlebury(tmp_path, split="all")
    assert [video.name for video in dataset] == ["other-data/Grove2/frame10"]
    assert [skip.reason for skip in dataset.skipped] == ["no ground truth"]
    np.testing.assert_array_equal(assert_pair(dataset[0], 20, 2)[0], ~mask(0))
    with pytest.raises(ValueError, match=r"1 group\(s\) of pairs here, too few for a test split"):
        middlebury(tmp_path, split="test")


@pytest.mark.parametrize(
    "opens, options, folders, message",
    [
        (sintel, {}, ["test"], "training/flow'? .*test has no ground truth"),
        (sintel, {}, ["training/flow/alley", "training/clean/alley"], "no scene .* has both"),
        (sintel, {"render": "final"}, ["training/flow", "training/clean"], "training/final"),
        (kitti, {"year": 2015}, ["testing/image_2"], "testing has no ground truth"),
        (kitti, {"year": 2015}, ["training/flow_occ", "training/image_2"], "has its two frames"),
        (middlebury, {}, ["eval-data"], "eval-data have no ground truth"),
        (middlebury, {}, ["other-data/Army", "other-gt-flow"], "no scene of .* has both"),
    ],
)
def test_rejects_folders_of_other_datasets(tmp_path, opens, options, folders, message):
    for folder in folders:
        (tmp_path / folder).mkdir(parents=True)
    with pytest.raises(ValueError, match=message):
        opens(tmp_path, **options)


# ---------------------------------------------------------------- Damage, and the pipeline


@pytest.mark.parametrize(
    "spoil, message",
    [
        (lambda root: (root / "other-data/Army/frame11.png").write_bytes(b"x"), "not an image"),
        (lambda root: picture(root / "other-data/Army/frame11.png", 0, (4, 4)), "several sizes"),
        (lambda root: (root / "other-gt-flow/Army/flow10.flo").write_bytes(b"x"), "not a .flo"),
        (lambda root: flow(root / "other-gt-flow/Army/flow10.flo", 1, None, (4, 4)), "but a flow"),
        (lambda root: (root / "other-gt-flow/Army/flow10.flo").unlink(), "No such file"),
    ],
)
def test_reports_damage_when_a_pair_is_read(tmp_path, spoil, message):
    make_middlebury(tmp_path)
    dataset = middlebury(tmp_path, split="all")
    spoil(tmp_path)
    with pytest.raises(VideoReadError, match=message):
        dataset[0].clip(np.arange(2))
    config = DataConfig(num_frames=2, size=(8, 8), teacher="none", flip=False)
    reader = ClipReader(dataset, config)
    example = reader.training_example(0, np.random.default_rng(0))
    assert (example["flows"][0, ..., 0][example["flow_mask"][0]] > 0).all()  # Grove2 instead
    assert [skip.path for skip in reader.damaged] == ["other-data/Army/frame10"]


def test_the_pipeline_and_the_objective_take_pairs(tmp_path):
    make_chairs(tmp_path)
    (tmp_path / "a.txt").write_text("1\n1\n1\n2\n2\n")
    config = DataConfig(
        source="flying-chairs",
        root=str(tmp_path),
        annotations=str(tmp_path / "a.txt"),
        num_frames=2,
        size=(8, 8),
        crop_scales=(1.0,),
        flip=False,
    )
    source = create_source(config, "train", seed=0)
    example = ClipReader(source, config).training_example(2, np.random.default_rng(0))
    arrays = {name: np.asarray(example[name])[None] for name in example}
    batch = Batch(
        frames=arrays["frames"],
        labels=arrays["labels"],
        flows=arrays["flows"],
        flow_mask=arrays["flow_mask"],
        mask=arrays["mask"],
    )
    prediction = Prediction(logits=None, flows=(jnp.zeros((1, 1, 2, 2, 2)),))
    _, target, counted = flow_and_target(prediction, batch)
    assert target.shape == (1, 1, 8, 8, 2) and counted.all()
    np.testing.assert_allclose(target[..., 0], 3 * 8 / HEIGHT, rtol=1e-5)  # in pixels of the crop


def test_sources_by_name(shared_data):
    roots = {"sintel": "flow_sintel", "middlebury": "flow_middlebury"}
    for name, folder in roots.items():
        config = DataConfig(source=name, root=str(shared_data / folder), num_frames=2)
        sizes = [len(create_source(config, split, 0)) for split in ("train", "test")]
        assert sum(sizes) == {"sintel": 4, "middlebury": 6}[name] and min(sizes) >= 1
    config = DataConfig(source="kitti2015", root=str(shared_data / "flow_kitti"), num_frames=2)
    with pytest.raises(ValueError, match="KITTI 2015 has 1 group"):
        create_source(config, "test", 0)
    video = flying_chairs(shared_data / "flow_chairs", split="all")[0]
    truth, _ = read_flo(shared_data / "flow_chairs/samples/0flow.flo")
    np.testing.assert_array_equal(video.clip(np.arange(2)).flows[0], truth)
