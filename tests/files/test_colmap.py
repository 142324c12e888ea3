"""COLMAP models and transforms.json: what is read, and what is refused."""

import contextlib
import json
import struct

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from score3d.files.capture import centre_squares, read_capture
from score3d.files.colmap import MODELS, read_colmap
from score3d.files.ply import read_ply, write_ply
from score3d.files.splats import FileFormatError, Splats
from score3d.files.transforms import Shots, write_transforms

# model: parameters, fx, fy, cx, cy, distorted
LENSES = {
    "SIMPLE_PINHOLE": ([80.0, 51.0, 33.0], (80, 80, 51, 33), False),
    "PINHOLE": ([80.0, 90.0, 51.0, 33.0], (80, 90, 51, 33), False),
    "SIMPLE_RADIAL": ([80.0, 51.0, 33.0, 0.01], (80, 80, 51, 33), True),
    "RADIAL": ([80.0, 51.0, 33.0, 0.0, 0.0], (80, 80, 51, 33), False),
    "OPENCV": ([80.0, 90.0, 51.0, 33.0, 0, 0, 0, 1e-3], (80, 90, 51, 33), True),
}
SIZE = (100, 64)


def poses(count=3, seed=0):
    """[(qvec wxyz, tvec)] world-to-camera."""
    rng = np.random.default_rng(seed)
    turns = Rotation.random(count, rng=rng)
    return list(zip(turns.as_quat()[:, [3, 0, 1, 2]], rng.normal(size=(count, 3)), strict=True))


def text_model(folder, lenses, images, points=" "):
    """lenses: [(id, model, (width, height), parameters)]. images: [(qvec, tvec, id, name)]."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = ["# CAMERA_ID, MODEL, WIDTH, HEIGHT, PARAMS[]", ""]
    lines += [" ".join(map(str, (i, m, *size, *map(repr, p)))) for i, m, size, p in lenses]
    (folder / "cameras.txt").write_text("\n".join(lines) + "\n")
    lines = ["# IMAGE_ID, QW, QX, QY, QZ, TX, TY, TZ, CAMERA_ID, NAME"]
    for k, (q, t, camera, name) in enumerate(images):
        numbers = " ".join(repr(float(v)) for v in (*q, *t))
        lines += [f"{k + 1} {numbers} {camera} {name}", points if k else ""]
    (folder / "images.txt").write_text("\n".join(lines) + "\n")
    return folder


def camera_bytes(camera, number, size, parameters):
    return struct.pack(f"<iiQQ{len(parameters)}d", camera, number, *size, *parameters)


def binary_model(folder, lenses, images):
    folder.mkdir(parents=True, exist_ok=True)
    data = struct.pack("<Q", len(lenses))
    data += b"".join(camera_bytes(i, MODELS[m][0], size, p) for i, m, size, p in lenses)
    (folder / "cameras.bin").write_bytes(data)
    data = struct.pack("<Q", len(images))
    for k, (q, t, camera, name) in enumerate(images):
        data += struct.pack("<i7di", k + 1, *q, *t, camera) + name.encode() + b"\0"
        data += struct.pack("<Q", k) + k * struct.pack("<ddq", 1.0, 2.0, -1)
    (folder / "images.bin").write_bytes(data)
    return folder


def mixed():
    """Images of two lenses, in another order, of two sizes and one name with a space."""
    lenses = [
        (7, "PINHOLE", SIZE, LENSES["PINHOLE"][0]),
        (2, "SIMPLE_PINHOLE", (64, 100), [70.0, 30.0, 52.0]),
    ]
    images = [
        (q, t, c, n)
        for (q, t), c, n in zip(poses(), (2, 7, 2), ("a.jpg", "b c/d.jpg", "é.png"), strict=True)
    ]
    return lenses, images


@pytest.mark.parametrize("write", [text_model, binary_model])
def test_what_is_written_is_read(tmp_path, write):
    lenses, images = mixed()
    model = read_colmap(write(tmp_path, lenses, images))
    assert model.names == ["a.jpg", "b c/d.jpg", "é.png"]
    assert model.sizes.tolist() == [[64, 100], list(SIZE), [64, 100]]
    assert model.Ks[1].tolist() == [[80, 0, 51], [0, 90, 33], [0, 0, 1]]
    assert model.Ks[2].tolist() == [[70, 0, 30], [0, 70, 52], [0, 0, 1]]
    assert not model.distorted
    for viewmat, (q, t, _, _) in zip(model.viewmats, images, strict=True):
        R = Rotation.from_quat(np.asarray(q)[[1, 2, 3, 0]]).as_matrix()
        x = np.array([0.3, -0.2, 0.9])  # of the model; ours has y and z turned
        ours = viewmat @ np.array([0.3, 0.2, -0.9, 1.0])
        np.testing.assert_allclose(ours[:3], R @ x + t, atol=1e-12)


@pytest.mark.parametrize("write", [text_model, binary_model])
@pytest.mark.parametrize("name", list(LENSES))
def test_each_camera_model(tmp_path, write, name):
    parameters, (fx, fy, cx, cy), distorted = LENSES[name]
    q, t = poses(1)[0]
    folder = write(tmp_path / "m", [(1, name, SIZE, parameters)], [(q, t, 1, "a.jpg")])
    model = read_colmap(folder)
    assert model.Ks[0].tolist() == [[fx, 0, cx], [0, fy, cy], [0, 0, 1]]
    assert model.distorted == distorted
    notes = read_capture(folder, 32)[1]
    assert any("distortion" in n for n in notes) == distorted


def test_the_world_is_turned_as_a_ply_is(tmp_path):
    """The very numbers of a PLY trained from a model, projected with the model's own cameras, and
    what `read_ply` makes of them with ours."""
    rng = np.random.default_rng(1)
    points = rng.normal(size=(20, 3)).astype(np.float32)
    zero = np.zeros((20, 1, 3))
    write_ply(tmp_path / "a.ply", Splats(points, rng.normal(size=(20, 4)), points, zero[:, 0, 0],
                                         zero))  # fmt: skip
    raw = (tmp_path / "a.ply").read_bytes().partition(b"end_header\n")[2]
    held = np.frombuffer(raw, "<f4").reshape(20, -1)[:, :3].astype(float)
    ours = read_ply(tmp_path / "a.ply").means.astype(float)
    assert np.abs(held - ours).max() > 1
    lenses, images = mixed()
    model = read_colmap(text_model(tmp_path / "m", lenses, images))
    for viewmat, K, (q, t, _, _) in zip(model.viewmats, model.Ks, images, strict=True):
        R = Rotation.from_quat(np.asarray(q)[[1, 2, 3, 0]]).as_matrix()
        theirs = (held @ R.T + t) @ K.T
        found = (ours @ viewmat[:3, :3].T + viewmat[:3, 3]) @ K.T
        np.testing.assert_allclose(found, theirs, atol=1e-9)


def test_a_model_and_the_same_cameras_in_transforms_json_agree(tmp_path):
    lens = (1, "PINHOLE", SIZE, LENSES["PINHOLE"][0])
    images = [(q, t, 1, f"{k}.png") for k, (q, t) in enumerate(poses(4))]
    binary_model(tmp_path / "sparse" / "0", [lens], images)
    from_model, _ = read_capture(tmp_path, 48)
    model = read_colmap(tmp_path / "sparse" / "0")
    shots = Shots(model.viewmats, model.Ks, *SIZE, model.names, [""] * 4)
    write_transforms(tmp_path / "transforms.json", shots)
    for path in (tmp_path, tmp_path / "transforms.json"):  # which is looked for first
        found, notes = read_capture(path, 48)
        np.testing.assert_allclose(found.viewmats, from_model.viewmats, atol=1e-12)
        np.testing.assert_allclose(found.Ks, from_model.Ks, atol=1e-12)
        assert (found.width, found.height, found.pictures) == (48, 48, model.names)
        assert notes == []


def test_squares_lie_in_the_middle():
    """A point at pixel (60, 20) of a wide and of a high picture."""
    K = np.array([[50.0, 0, 10], [0, 40, 5], [0, 0, 1]])
    squares = centre_squares(np.stack([K, K]), np.array([[100, 40], [40, 100]]), 20)
    ray = np.array([(60 - 10) / 50, (20 - 5) / 40, 1])
    np.testing.assert_allclose(squares @ ray, [[15, 10, 1], [30, -5, 1]])


def refused(path):
    with pytest.raises(FileFormatError) as caught:
        read_capture(path, 32)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("part", ["cameras.bin", "images.bin"])
def test_every_cut_is_an_error_of_one_line(tmp_path, part):
    lenses, images = mixed()
    folder = binary_model(tmp_path / "m", lenses, images)
    whole = (folder / part).read_bytes()
    for length in range(len(whole)):
        (folder / part).write_bytes(whole[:length])
        assert part in refused(folder)


@pytest.mark.parametrize("count", [2**64 - 1, 2**40])
def test_counts_are_not_believed(tmp_path, count):
    lenses, images = mixed()
    folder = binary_model(tmp_path / "m", lenses, images)
    whole = (folder / "images.bin").read_bytes()
    (folder / "images.bin").write_bytes(struct.pack("<Q", count) + whole[8:])
    assert f"announces {count} entries" in refused(folder)
    (folder / "images.bin").write_bytes(whole[: -24 * 2 - 8] + struct.pack("<Q", count) + bytes(48))
    assert f"announces {count} entries" in refused(folder)


def test_random_damage_never_breaks_out(tmp_path):
    lenses, images = mixed()
    rng = np.random.default_rng(0)
    for part in ("cameras.bin", "images.bin", "cameras.txt", "images.txt"):
        write = text_model if part.endswith("txt") else binary_model
        folder = write(tmp_path / part, lenses, images)
        whole = np.frombuffer((folder / part).read_bytes(), np.uint8)
        for _ in range(150):
            bad = whole.copy()
            bad[rng.integers(0, len(bad), 3)] = rng.integers(0, 256, 3)
            (folder / part).write_bytes(bad.tobytes())
            with contextlib.suppress(FileFormatError):
                read_capture(folder, 32)


@pytest.mark.parametrize(
    ("number", "says"), [(5, "OPENCV_FISHEYE"), (99, "number 99"), (-1, "number -1")]
)
def test_lenses_that_are_no_pinholes_are_named(tmp_path, number, says):
    lenses, images = mixed()
    folder = binary_model(tmp_path / "m", lenses, images)
    data = struct.pack("<Q", 1) + camera_bytes(2, number, SIZE, [1.0] * 8)
    (folder / "cameras.bin").write_bytes(data)
    assert says in refused(folder)


@pytest.mark.parametrize(
    ("part", "old", "new", "says"),
    [
        ("cameras", "SIMPLE_PINHOLE", "FOV", "camera 2 is of model FOV"),
        ("cameras", "SIMPLE_PINHOLE 64", "SIMPLE_PINHOLE x", "line 4 is not CAMERA_ID"),
        ("cameras", "SIMPLE_PINHOLE 64", "SIMPLE_PINHOLE 0", "0 x 100 pixels"),
        ("cameras", "SIMPLE_PINHOLE 64", "SIMPLE_PINHOLE 99999999", "99999999 x 100 pixels"),
        ("cameras", " 52.0", "", "gives 2 parameters, and SIMPLE_PINHOLE has 3"),
        ("cameras", " 70.0", " nan", "focal lengths above 0"),
        ("cameras", " 70.0", " -1", "focal lengths above 0"),
        ("cameras", "7 PINHOLE", "8 PINHOLE", "is of camera 7, which cameras.txt does not hold"),
        ("images", " 7 b c/d.jpg", "", "is not IMAGE_ID"),
        ("images", " 2 a.jpg", " x a.jpg", "line 2 is not IMAGE_ID"),
        ("images", "a.jpg\n\n", "a.jpg\n", "line 3 is not the image's 2D points"),
    ],
)
def test_text_that_is_wrong(tmp_path, part, old, new, says):
    folder = text_model(tmp_path, *mixed())
    text = (folder / f"{part}.txt").read_text()
    assert text.count(old) == 1
    (folder / f"{part}.txt").write_text(text.replace(old, new))
    said = refused(folder)
    assert says in said
    assert f"{part}.txt" in said or "does not hold" in said


def test_2d_points_are_passed_over(tmp_path):
    folder = text_model(tmp_path, *mixed(), points="1.5 2.5 -1 3 4 17")
    assert len(read_colmap(folder).names) == 3


@pytest.mark.parametrize("pose", [(0.0,) * 7, (float("nan"),) * 7, (1.0, 0, 0, 0, np.inf, 0, 0)])
def test_a_pose_that_is_none(tmp_path, pose):
    lenses, images = mixed()
    images[1] = (pose[:4], pose[4:], 7, "b.jpg")
    assert "'b.jpg' has a pose that is no rotation" in refused(
        binary_model(tmp_path, lenses, images)
    )


def test_no_images(tmp_path):
    assert "holds no images" in refused(text_model(tmp_path / "t", mixed()[0], []))
    assert "holds no images" in refused(binary_model(tmp_path / "b", mixed()[0], []))


def test_what_is_no_capture(tmp_path):
    (tmp_path / "cameras.txt").write_text("")  # without images.txt
    assert "holds no capture; expected a transforms.json" in refused(tmp_path)
    assert "not a capture" in refused(tmp_path / "cameras.txt")
    assert "no such file or folder" in refused(tmp_path / "gone")
    with pytest.raises(FileFormatError, match="no COLMAP model"):
        read_colmap(tmp_path)


def transforms(path, **changes):
    matrix = np.eye(4)
    frame = {"file_path": "a.png", "transform_matrix": matrix.tolist()}
    data = {"w": 20, "h": 10, "fl_x": 30.0, "frames": [frame | changes.pop("frame", {})]}
    path.write_text(json.dumps(data | changes))
    return path


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"fl_x": 0.0}, "a focal length that is not above 0"),
        ({"w": float("inf")}, "too large"),
        ({"camera_model": "OPENCV_FISHEYE"}, "a OPENCV_FISHEYE camera"),
        ({"is_fisheye": True}, "a fisheye camera"),
        ({"frames": []}, "names no frames"),
        ({"frame": {"transform_matrix": np.diag([1.0, 1, -1, 1]).tolist()}}, "mirrors"),
        ({"frame": {"transform_matrix": np.diag([3.0, 3, 3, 1]).tolist()}}, "scales"),
        ({"frame": {"transform_matrix": [1]}}, "not a transforms.json"),
    ],
)
def test_transforms_with_which_no_picture_can_be_made(tmp_path, changes, says):
    assert says in refused(transforms(tmp_path / "transforms.json", **changes))


def test_distortion_in_transforms_is_said(tmp_path):
    assert read_capture(transforms(tmp_path / "a.json", k1=0.0), 8)[1] == []
    for changes in ({"k1": 0.1}, {"frame": {"p2": -0.1}}):
        assert "distortion" in read_capture(transforms(tmp_path / "a.json", **changes), 8)[1][0]
