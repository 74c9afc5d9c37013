"""Clips and crops of an evaluation, against known values; random ones are reproducible."""

import dataclasses

import numpy as np
import pytest

from afn_jax.data.config import DataConfig
from afn_jax.data.transforms.views import Views, segment_indices, segments_of

CONFIG = DataConfig(num_frames=4, size=(224, 224), teacher="none")


def test_uniform_clips_match_known_starts():
    starts = [Views(5).starts("a", 24, clip, CONFIG).tolist() for clip in range(5)]
    assert starts == [[0], [5], [10], [15], [20]]
    segments = dataclasses.replace(CONFIG, sampling="segments", num_segments=2)
    # Two frames per segment of 21: the 20 valid starts are divided into 0 to 9 and 10 to 19.
    assert Views(1).starts("a", 21, 0, segments).tolist() == [4, 14]
    assert [Views(3).starts("a", 21, i, segments).tolist() for i in range(3)] == [
        [0, 10],
        [5, 15],
        [9, 19],
    ]


def test_accepts_names_that_are_not_unicode():
    name = b"gr\xf6\xdfe.avi".decode(errors="surrogateescape")
    assert 0 <= Views(2, when="random").starts(name, 24, 1, CONFIG)[0] <= 20


def test_a_clip_has_all_its_crops():
    assert Views(when="cover").num_clips(9, CONFIG) == 3 and Views(7).num_clips(9, CONFIG) == 7
    for views, count in ((Views(), 1), (Views(crops="ten"), 10), (Views(crops="random"), 1)):
        assert len(views.transforms("a", 0, 256, 340, (224, 224))) == count == views.crops_per_clip


def test_random_views_depend_on_seed_name_and_clip_only():
    def draws(views, name):
        clips = range(views.clips)
        starts = [views.starts(name, 300, clip, CONFIG)[0] for clip in clips]
        boxes = [views.transforms(name, clip, 256, 340, (224, 224))[0] for clip in clips]
        return list(zip(starts, [(box.top, box.left) for box in boxes], strict=True))

    views = Views(64, when="random", crops="random", scale=0.875)
    first = draws(views, "video 1")
    assert first == draws(views, "video 1")
    assert first[:3] == draws(dataclasses.replace(views, clips=3), "video 1")
    starts, tops, lefts = np.array([(start, *place) for start, place in first]).T
    assert len(set(starts)) > 45 and len(set(tops)) > 15 and len(set(lefts)) > 35
    assert (0 <= starts).all() and (starts <= 296).all()
    assert (tops <= 32).all() and (lefts <= 116).all()
    for other in (draws(views, "video 2"), draws(dataclasses.replace(views, seed=1), "video 1")):
        assert sum(a == b for a, b in zip(first, other, strict=True)) < 3
    assert not any(box.flip for box in views.transforms("a", 0, 256, 340, (224, 224)))


def test_segments_divide_the_frames_of_a_clip():
    assert segments_of(CONFIG) == (1, 4)
    segments = dataclasses.replace(CONFIG, sampling="segments", num_segments=4)
    assert segments_of(segments) == (4, 1)
    np.testing.assert_array_equal(
        segment_indices(np.array([1, 7]), 3, 2, 10), [[1, 3, 5], [7, 9, 1]]
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"clips": 0}, "clips: got 0, but it must be at least 1"),
        ({"when": "often"}, "when: got 'often'; allowed: uniform, random, cover"),
        ({"crops": "five"}, "crops: got 'five'; allowed: center, ten, random"),
        ({"scale": 1.5}, "scale: got 1.5, but it must be at most 1 and above 0"),
        ({"seed": -1}, "seed: got -1, but it must be at least 0"),
    ],
)
def test_rejects_bad_views(change, message):
    with pytest.raises(ValueError, match=message):
        Views(**change)
