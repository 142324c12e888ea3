import numpy as np
import pytest
import torch

from score3d.articles import with_article
from score3d.cameras import orbit, turntable
from score3d.world.captions import (
    PHRASES,
    SYNONYMS,
    VIEW_STYLES,
    caption,
    phrase_of,
    view_phrase,
    vocabulary,
)
from score3d.world.dataset import load_renders, render_shard
from score3d.world.families import FAMILIES, SECOND_PARTS
from score3d.world.finish import MATERIALS
from score3d.world.nouns import NOUNS, SYMMETRIC
from score3d.world.palette import COLOURS, name_of, sample_colour
from score3d.world.primitives import (
    box,
    cylinder,
    ellipsoid,
    fan,
    loft,
    prism,
    scaled,
    signed_volume,
    spine,
    strip,
    torus,
    tube,
)
from score3d.world.raster import render_shape, sample_lighting
from score3d.world.shapes import BOUNDING_RADIUS, RELATIONS, SIMPLE, build, build_pair

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
    assert len(FAMILIES) >= 200
    assert len(COLOURS) >= 12
    assert len(set(NOUNS)) == len(NOUNS)
    assert set(SYMMETRIC) <= set(NOUNS)
    assert set(SECOND_PARTS) <= set(FAMILIES)
    targets = {*NOUNS, *COLOURS, *MATERIALS}
    assert {*SYNONYMS.values(), *PHRASES.values()} <= targets
    # a word with two meanings could not be read back from a prompt
    kinds = [set(NOUNS), set(COLOURS), set(MATERIALS), set(SYNONYMS)]
    assert sum(map(len, kinds)) == len(set.union(*kinds))
    assert all(name.isalpha() and name.islower() for name in set.union(*kinds))


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
     tube([(0, 0, 0), (0, 1, 0), (1, 2, 0)], 0.2), prism([(0, 0), (1, 0), (0, 1)], 0.5),
     fan([(0, 0), (1, 0), (0, 1)], 0.5, (0.2, 0.2)), fan([(0, 1), (1, 0), (0, 0)], 0.5, (0.2, 0.2)),
     strip([(0, 0), (1, 0), (1, 1)], [(0, 1), (0.5, 1), (0.5, 1.5)], 0.2),
     strip([(1, 0), (0, 1), (-1, -1)], [(0.5, 0), (0, 0.5), (-0.4, -0.4)], 0.2, True),
     spine([(0, 0, 1, 1), (1, 0, 1, 1)]), spine([(1, 0, 1, 1), (0, 0, 1, 1)]),
     loft([[(0, 0, 0), (1, 0, 0), (0, 1, 0)], [(0, 0, 1), (1, 0, 1), (0, 1, 1)]]),
     scaled(torus(1, 0.3), -1, 1, 1)],
)  # fmt: skip
def test_primitives_are_closed_and_face_outwards(solid):
    assert is_closed(solid)
    assert signed_volume(solid) > 0


def is_closed(g):
    """Every edge is run through as often one way as the other, with coincident corners merged."""
    v, f = g
    merged = np.unique(np.round(v, 7), axis=0, return_inverse=True)[1].reshape(-1)
    f = merged[f]
    f = f[(f[:, 0] != f[:, 1]) & (f[:, 1] != f[:, 2]) & (f[:, 2] != f[:, 0])]
    a, b = f.ravel(), np.roll(f, -1, 1).ravel()
    return np.array_equal(np.sort(a * len(v) + b), np.sort(b * len(v) + a))


def test_an_open_surface_is_told_from_a_closed_one():
    v, f = box(1, 1, 1)
    assert is_closed((v, f))
    assert not is_closed((v, f[1:]))


def test_a_spine_of_square_sections_has_a_boxs_volume():
    g = spine([(0, 0, 1, 1), (1, 0, 1, 1)], 8, 1e-9)
    assert signed_volume(g) == pytest.approx(4, rel=1e-6)


@pytest.mark.parametrize("noun", sorted(FAMILIES))
def test_closed_parts_face_outwards_and_second_parts_are_there(noun):
    """Three instances, because constructions are chosen at random."""
    for seed in range(3):
        parts = FAMILIES[noun](np.random.default_rng(seed))
        for k, (g, tone) in enumerate(parts):
            if is_closed(g):
                assert signed_volume(g) > 0, (seed, k, tone)
        assert any(tone.endswith("*") for _, tone in parts) == (noun in SECOND_PARTS)
        assert any(tone.rstrip("*") == "main" for _, tone in parts)


def test_the_second_colour_is_for_the_second_parts_alone():
    for noun in ("chair", "tree", "car", "house"):
        one = build(noun, "red", np.random.default_rng(3))
        two = build(noun, "red", np.random.default_rng(3), second_colour="blue")
        changed = (one.face_colours != two.face_colours).any(1)
        parts = FAMILIES[noun](np.random.default_rng(3))
        starred = np.concatenate([np.full(len(f), t.endswith("*")) for (_, f), t in parts])
        assert np.array_equal(changed, starred), noun
        r, g, b = two.face_colours[starred].T
        assert (b > 1.5 * r).all()
        assert (b > 1.5 * g).all()
    with pytest.raises(KeyError, match="no second part"):
        build("cube", "red", np.random.default_rng(0), second_colour="blue")


def test_colour_names_do_not_overlap():
    rng = np.random.default_rng(0)
    samples = {name: np.stack([sample_colour(name, rng) for _ in range(300)]) for name in COLOURS}
    for a in COLOURS:
        for b in COLOURS:
            if a < b:
                gaps = np.linalg.norm(samples[a][:, None] - samples[b][None], axis=2)
                assert gaps.min() > 0.08, (a, b)


def test_colours_are_called_what_they_were_drawn_as():
    rng = np.random.default_rng(1)
    for name in COLOURS:
        assert (name_of(np.stack([sample_colour(name, rng) for _ in range(200)])) == name).all()
    between = np.array([[0.6, 0.85, 0.1], [0.45, 0.1, 0.1], [0.75, 0.75, 0.75]])
    assert (name_of(between) == "").all()


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
    for k in range(3000):
        noun = NOUNS[rng.integers(len(NOUNS))]
        colour, other = sorted(COLOURS)[rng.integers(len(COLOURS))], "blue"
        extra = {}
        if k % 4 == 1:
            extra = {"material": MATERIALS[rng.integers(len(MATERIALS))]}
        elif k % 4 == 2 and noun in SECOND_PARTS:
            extra = {"second_colour": other}
        elif k % 4 == 3:
            relation, second = RELATIONS[k // 4 % len(RELATIONS)], SIMPLE[rng.integers(len(SIMPLE))]
            extra = {"second_colour": other, "relation": relation, "second_noun": second}
        text = caption(noun, colour, rng.uniform(-180, 180), rng.uniform(-20, 80), rng, **extra)
        words = text.replace(",", " , ").split()
        assert set(words) <= known
        assert len(words) <= 30
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


def test_phrases():
    assert with_article("orange owl") == "an orange owl"
    assert [with_article(w) for w in ("ufo", "unicorn", "umbrella")] == [
        "a ufo",
        "a unicorn",
        "an umbrella",
    ]
    assert phrase_of("car", "red", "shiny") == "shiny red car"
    assert phrase_of("chair", "red", second_colour="blue") == "red chair with blue legs"
    assert (
        phrase_of("cube", "red", "matte", "orange", "on top of", "cylinder")
        == "red cube on top of an orange cylinder"
    )


def picture(noun, colour, material, seed=0, azimuth=30.0):
    shape = build(noun, colour, np.random.default_rng(seed), material=material)
    return shot(shape, azimuth, 20.0)


def test_materials_change_the_look_and_not_the_silhouette():
    plain, alpha, _ = picture("sphere", "red", "matte")
    for material in MATERIALS[1:]:
        rgb, same, _ = picture("sphere", "red", material)
        assert np.array_equal(alpha, same)
        assert np.abs(rgb - plain)[alpha > 0].mean() > 0.02, material
        assert np.abs(rgb - plain)[alpha == 0].max() == 0, material


@pytest.mark.parametrize("material", ["striped", "checkered", "spotted"])
def test_patterns_cover_a_fair_share_with_white(material):
    shares = []
    for seed in range(6):
        rgb, alpha, _ = picture("sphere", "blue", material, seed)
        inside = alpha[0] == 1
        shares.append((rgb[0, :, :, 0][inside] > 0.4).mean())
    assert 0.1 < np.mean(shares) < 0.7


def test_patterns_stay_where_they_are_when_the_camera_moves():
    """The spot in the middle of the front has the same colour from the left and from above."""
    shape = build("cube", "blue", np.random.default_rng(2), material="checkered")
    front = shape.vertices[:, 2].max()
    for x, y in ((0.0, 0.0), (0.12, -0.1), (-0.13, 0.07)):
        seen = []
        for azimuth, elevation in ((0.0, 0.0), (35.0, 10.0), (-30.0, 30.0)):
            camera = orbit(torch.tensor([azimuth]), torch.tensor([elevation]), 2.0, 40.0, 256, 256)
            rgb, _, _ = render_shape(
                shape, camera, np.ones((1, 3)), sample_lighting(np.random.default_rng(0))
            )
            p = camera.viewmats[0].numpy() @ np.array([x, y, front, 1.0])
            u = int(p[0] / p[2] * camera.Ks[0, 0, 0] + 128)
            v = int(p[1] / p[2] * camera.Ks[0, 1, 1] + 128)
            seen.append(bool(rgb[0, v, u, 0] > 0.35))
        assert len(set(seen)) == 1, (x, y)


def test_unknown_materials_are_refused():
    with pytest.raises(ValueError, match="known: matte"):
        build("cube", "red", np.random.default_rng(0), material="velvet")


def test_relations_put_things_where_they_say():
    for seed in range(20):
        rng = np.random.default_rng(seed)
        shape = build_pair("sphere", "red", "on top of", "cube", "blue", rng)
        red = shape.face_colours[:, 0] > shape.face_colours[:, 2]
        above = shape.vertices[shape.faces[red]].reshape(-1, 3)
        below = shape.vertices[shape.faces[~red]].reshape(-1, 3)
        assert above[:, 1].min() == pytest.approx(below[:, 1].max(), abs=1e-9)
        shape = build_pair("cone", "red", "next to", "cylinder", "blue", rng)
        red = shape.face_colours[:, 0] > shape.face_colours[:, 2]
        one = shape.vertices[shape.faces[red]].reshape(-1, 3)
        two = shape.vertices[shape.faces[~red]].reshape(-1, 3)
        assert one[:, 1].min() == pytest.approx(two[:, 1].min(), abs=1e-9)
        assert one[:, 0].min() > two[:, 0].max() or two[:, 0].min() > one[:, 0].max()
    with pytest.raises(ValueError, match="nothing stands"):
        build_pair("cube", "red", "on top of", "cone", "blue", np.random.default_rng(0))
    with pytest.raises(ValueError, match="no relation"):
        build_pair("car", "red", "next to", "cone", "blue", np.random.default_rng(0))


def test_shards_hold_every_kind_of_picture_with_its_labels(tmp_path):
    data = render_shard(1, 600, 16)
    first = data.relation >= 0
    second = (data.second_colour >= 0) & ~first
    assert 0.02 < first.mean() < 0.12
    assert 0.1 < second.mean() < 0.3
    assert 0.18 < (data.material > 0).mean() < 0.4
    assert (data.second_noun[first] >= 0).all()
    assert (data.second_noun[~first] == -1).all()
    assert (data.second_colour != data.colour).all()
    assert (data.material[first | second] == 0).all()
    rng = np.random.default_rng(0)
    for i in np.where(second)[0]:
        noun = NOUNS[data.noun[i]]
        assert data.caption(i, rng).split(",")[0].endswith(SECOND_PARTS[noun])
    assert all(any(r in data.caption(i, rng) for r in RELATIONS) for i in np.where(first)[0])


def test_shards_are_cached_with_all_labels(tmp_path, monkeypatch):
    from score3d.world import dataset

    small = render_shard(3, 8, 16)
    monkeypatch.setattr(dataset, "render_shard", lambda seed, size, models, nouns: small)
    made = load_renders(tmp_path, range(3, 4), 16)
    monkeypatch.setattr(dataset, "render_shard", None)
    again = load_renders(tmp_path, range(3, 4), 16)
    for name in made.__dataclass_fields__:
        assert np.array_equal(getattr(made, name), getattr(again, name))
