import numpy as np
import pytest
import torch

from score3d.cameras import orbit, turntable
from score3d.world.captions import SYNONYMS, VIEW_STYLES, caption, view_phrase, vocabulary
from score3d.world.dataset import render_shard
from score3d.world.families import FAMILIES, SYMMETRIC
from score3d.world.palette import COLOURS, sample_colour
from score3d.world.primitives import box, cylinder, ellipsoid, prism, torus, tube
from score3d.world.raster import render_shape, sample_lighting
from score3d.world.shapes import BOUNDING_RADIUS, build

REQUIRED = [
    "mushroom",
    "snowman",
    "chair",
    "table",
    "sofa",
    "lamp",
    "mug",
    "teapot",
    "vase",
    "car",
    "boat",
    "aeroplane",
    "rocket",
    "robot",
    "house",
    "tree",
    "dog",
    "pig",
    "duck",
    "apple",
    "hat",
    "cube",
    "sphere",
    "cone",
]


def test_the_vocabulary_is_wide_enough():
    assert set(REQUIRED) <= set(FAMILIES)
    assert len(COLOURS) >= 10
    assert set(SYMMETRIC) <= set(FAMILIES)
    assert {t for t in SYNONYMS.values()} <= {*FAMILIES, *COLOURS}


@pytest.mark.parametrize("noun", sorted(FAMILIES))
def test_every_family_builds_sound_shapes(noun):
    for seed in range(5):
        shape = build(noun, "red", np.random.default_rng(seed))
        assert np.isfinite(shape.vertices).all()
        assert shape.faces.min() >= 0
        assert shape.faces.max() < len(shape.vertices)
        radius = np.linalg.norm(shape.vertices, axis=1).max()
        assert radius == pytest.approx(BOUNDING_RADIUS)
        assert ((shape.face_colours >= 0) & (shape.face_colours <= 1)).all()


def test_shapes_differ_by_seed_and_repeat_by_seed():
    a, b, c = (build("chair", "blue", np.random.default_rng(s)).vertices for s in (1, 1, 2))
    assert np.array_equal(a, b)
    assert a.shape != c.shape or not np.allclose(a, c)


@pytest.mark.parametrize(
    "solid",
    [box(1, 2, 3), cylinder(1, 0, 1), ellipsoid(1, 1, 1), torus(1, 0.3),
     tube([(0, 0, 0), (0, 1, 0), (1, 2, 0)], 0.2), prism([(0, 0), (1, 0), (0, 1)], 0.5)],
)  # fmt: skip
def test_primitives_are_closed_and_face_outwards(solid):
    v, f = solid
    corners = v[f]
    volume = np.einsum("ij,ij->i", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])).sum() / 6
    assert volume > 0


def test_colour_names_do_not_overlap():
    rng = np.random.default_rng(0)
    samples = {name: np.stack([sample_colour(name, rng) for _ in range(300)]) for name in COLOURS}
    for a in COLOURS:
        for b in COLOURS:
            if a < b:
                gaps = np.linalg.norm(samples[a][:, None] - samples[b][None], axis=2)
                assert gaps.min() > 0.08, (a, b)


def shot(shape, azimuth=0.0, elevation=0.0):
    camera = orbit(torch.tensor([azimuth]), torch.tensor([elevation]), 2.0, 40.0, 64, 64)
    return render_shape(shape, camera, np.ones((1, 3)), sample_lighting(np.random.default_rng(0)))


def test_a_sphere_is_a_disc_of_the_right_size_and_depth():
    shape = build("sphere", "red", np.random.default_rng(0))
    rgb, alpha, depth = shot(shape)
    radius = 32 / np.tan(np.radians(20)) * np.tan(np.arcsin(BOUNDING_RADIUS / 2))
    assert alpha.sum() == pytest.approx(np.pi * radius**2, rel=0.03)
    assert depth[0, 32, 32] == pytest.approx(2 - BOUNDING_RADIUS, abs=0.02)
    assert rgb[0, 32, 32, 0] > 2 * rgb[0, 32, 32, 1]
    assert np.allclose(rgb[0, 0, 0], 1)


@pytest.mark.parametrize(("azimuth", "side"), [(0, "right"), (180, "left")])
def test_the_mugs_handle_is_on_plus_x(azimuth, side):
    shape = build("mug", "blue", np.random.default_rng(1))
    _, alpha, _ = shot(shape, float(azimuth))
    columns = np.where(alpha[0].max(0) > 0.5)[0]
    # the handle is thin: on its side the silhouette's outer columns hold few pixels
    outer = alpha[0][:, columns[-4:]].sum() if side == "right" else alpha[0][:, columns[:4]].sum()
    inner = alpha[0][:, columns[:4]].sum() if side == "right" else alpha[0][:, columns[-4:]].sum()
    assert outer < inner


def test_shards_are_seeded():
    a, b, c = render_shard(5, 8), render_shard(5, 8), render_shard(6, 8)
    assert np.array_equal(a.rgb, b.rgb)
    assert not np.array_equal(a.rgb, c.rgb)
    assert a.rgb.shape == (8, 64, 64, 3)


@pytest.mark.parametrize(
    ("azimuth", "elevation", "style", "phrase"),
    [
        (44.9, 0, "dreamfusion", "front view"),
        (45, 0, "dreamfusion", "side view"),
        (135, 0, "dreamfusion", "side view"),
        (135.1, 0, "dreamfusion", "back view"),
        (-170, 60, "dreamfusion", "back view"),
        (0, 60.1, "dreamfusion", "overhead view"),
        (350, 15, "eight", "front view"),
        (315, 30, "eight", "front right view from above"),
        (90, -10, "eight", "left side view from below"),
        (359, 14, "fine", "front view, azimuth 0, elevation 15"),
        (225, 46, "fine", "back right view from above, azimuth 225, elevation 45"),
        (0, 0, "none", ""),
    ],
)
def test_view_phrases(azimuth, elevation, style, phrase):
    assert view_phrase(azimuth, elevation, style) == phrase


def test_unknown_view_style():
    with pytest.raises(ValueError, match="known: none"):
        view_phrase(0, 0, "many")


def test_captions_use_known_words_only():
    known = set(vocabulary())
    rng = np.random.default_rng(0)
    for _ in range(500):
        noun = sorted(FAMILIES)[rng.integers(len(FAMILIES))]
        colour = sorted(COLOURS)[rng.integers(len(COLOURS))]
        text = caption(noun, colour, rng.uniform(-180, 180), rng.uniform(-20, 80), rng)
        assert set(text.replace(",", " , ").split()) <= known
    for style in VIEW_STYLES:
        for azimuth in range(-180, 180, 5):
            words = view_phrase(azimuth, 33, style).replace(",", " , ").split()
            assert set(words) <= known


def test_turntable_of_the_world_matches_cameras():
    """A red ball on +x, seen from the front, is on the right; seen from the left side, near."""
    shape = build("sphere", "red", np.random.default_rng(0), radius=0.1)
    moved = type(shape)(shape.vertices + np.array([0.4, 0, 0]), shape.faces, shape.face_colours)
    _, alpha, depth = render_shape(
        moved,
        turntable(4, 64, elevation=0),
        np.ones((4, 3)),
        sample_lighting(np.random.default_rng(0)),
    )
    assert alpha[0, :, 32:].sum() > 0
    assert alpha[0, :, :32].sum() == 0
    assert depth[1].max() < 1.75
    assert depth[3].max() > 2.2
