"""Splat PLY: bits kept, axes turned, other people's files read, bad files refused."""

from __future__ import annotations

import io
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st

from score3d.files import ply
from score3d.files.ply import FileFormatError, read_ply, write_ply
from score3d.files.splats import Splats

FIELDS = ("means", "quats", "log_scales", "logit_opacities", "sh")


def random_splats(n: int, degree: int, seed: int = 0) -> Splats:
    rng = np.random.default_rng(seed)
    return Splats(
        rng.normal(size=(n, 3)),
        rng.normal(size=(n, 4)),
        rng.normal(size=(n, 3)),
        rng.normal(size=n),
        rng.normal(size=(n, (degree + 1) ** 2, 3)),
    )


def assert_same_bits(a: Splats, b: Splats) -> None:
    for name in FIELDS:
        x, y = getattr(a, name), getattr(b, name)
        assert x.shape == y.shape, name
        np.testing.assert_array_equal(x.view(np.uint32), y.view(np.uint32), err_msg=name)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("ply")


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(0, 9), degree=st.integers(0, 3), normals=st.booleans(), seed=st.binary(max_size=8)
)
def test_round_trip_keeps_every_bit(
    folder: Path, n: int, degree: int, normals: bool, seed: bytes
) -> None:
    rng = np.random.default_rng([*seed])
    k = (degree + 1) ** 2

    def any_floats(*shape: int) -> np.ndarray:  # NaNs with payloads, infinities, -0, subnormals
        special = np.array([0x7FC00001, 0xFF800000, 0x80000000, 1, 0x7F800000], np.uint32)
        bits = rng.integers(0, 2**32, shape, dtype=np.uint32)
        pick = rng.random(shape) < 0.2
        return np.where(pick, rng.choice(special, shape), bits).astype(np.uint32).view(np.float32)

    splats = Splats(
        any_floats(n, 3), any_floats(n, 4), any_floats(n, 3), any_floats(n), any_floats(n, k, 3)
    )
    path = folder / "round.ply"
    write_ply(path, splats, normals=normals)
    assert_same_bits(read_ply(path), splats)


@pytest.mark.parametrize("degree", [0, 1, 2, 3])
@pytest.mark.parametrize("normals", [True, False])
def test_layout_seen_by_independent_readers(tmp_path: Path, degree: int, normals: bool) -> None:
    splats = random_splats(7, degree)
    path = tmp_path / "scene.ply"
    write_ply(path, splats, normals=normals)
    # once by hand, column by column
    data = path.read_bytes()
    header, body = data.split(b"end_header\n", 1)
    names = [line.split()[2].decode() for line in header.split(b"\n") if b"property" in line]
    rest = 3 * ((degree + 1) ** 2 - 1)
    expected = ["x", "y", "z", *(["nx", "ny", "nz"] if normals else []), "f_dc_0", "f_dc_1"]
    expected += ["f_dc_2", *(f"f_rest_{i}" for i in range(rest)), "opacity"]
    expected += ["scale_0", "scale_1", "scale_2", "rot_0", "rot_1", "rot_2", "rot_3"]
    assert names == expected
    table = np.frombuffer(body, [(name, "<f4") for name in names])
    assert len(table) == 7
    np.testing.assert_array_equal(table["opacity"], splats.logit_opacities)
    np.testing.assert_array_equal(table["scale_2"], splats.log_scales[:, 2])
    np.testing.assert_array_equal(table["rot_0"], splats.quats[:, 0])
    np.testing.assert_array_equal(table["f_dc_1"], splats.sh[:, 0, 1])
    if degree:  # channel-major: coefficient 3 (odd in x only) of green
        np.testing.assert_array_equal(table[f"f_rest_{rest // 3 + 2}"], splats.sh[:, 3, 1])
    assert b"comment axes: x right, y down, z forward" in header
    # and once by trimesh
    points = trimesh.load(path)
    np.testing.assert_allclose(points.vertices, splats.means * [1, -1, -1], rtol=1e-6)


def test_gsply_reads_the_same(tmp_path: Path) -> None:
    gsply = pytest.importorskip("gsply")
    splats = random_splats(11, 3)
    path = tmp_path / "scene.ply"
    write_ply(path, splats)
    other = gsply.plyread(str(path))
    turned = ply.half_turn(splats)
    np.testing.assert_array_equal(other.means, turned.means)
    np.testing.assert_array_equal(other.quats, turned.quats)
    np.testing.assert_array_equal(np.asarray(other.sh0).reshape(-1, 3), turned.sh[:, 0])
    np.testing.assert_array_equal(np.asarray(other.shN).reshape(-1, 15, 3), turned.sh[:, 1:])


def colour(sh: np.ndarray, direction: np.ndarray) -> np.ndarray:
    """Real spherical harmonics with the signs of 3D Gaussian Splatting, sh [N, 16, 3]."""
    x, y, z = direction
    c1, c2 = np.sqrt(3 / (4 * np.pi)), np.sqrt(15 / np.pi)
    basis = [
        np.sqrt(1 / (4 * np.pi)),
        -c1 * y, c1 * z, -c1 * x,
        c2 / 2 * x * y, -c2 / 2 * y * z, np.sqrt(5 / np.pi) / 4 * (2 * z * z - x * x - y * y),
        -c2 / 2 * x * z, c2 / 4 * (x * x - y * y),
        -np.sqrt(35 / (2 * np.pi)) / 4 * y * (3 * x * x - y * y),
        np.sqrt(105 / np.pi) / 2 * x * y * z,
        -np.sqrt(21 / (2 * np.pi)) / 4 * y * (4 * z * z - x * x - y * y),
        np.sqrt(7 / np.pi) / 4 * z * (2 * z * z - 3 * x * x - 3 * y * y),
        -np.sqrt(21 / (2 * np.pi)) / 4 * x * (4 * z * z - x * x - y * y),
        np.sqrt(105 / np.pi) / 4 * z * (x * x - y * y),
        -np.sqrt(35 / (2 * np.pi)) / 4 * x * (x * x - 3 * y * y),
    ]  # fmt: skip
    return np.einsum("k,nkc->nc", np.array(basis), sh.astype(np.float64))


def covariance(splats: Splats) -> np.ndarray:
    result = []
    for q, s in zip(splats.quats.astype(np.float64), splats.log_scales, strict=True):
        matrix = trimesh.transformations.quaternion_matrix(q / np.linalg.norm(q))[:3, :3]
        result.append(matrix @ np.diag(np.exp(2.0 * s)) @ matrix.T)
    return np.array(result)


def test_half_turn_moves_the_same_object() -> None:
    flip = np.diag([1.0, -1.0, -1.0])
    splats = random_splats(20, 3)
    turned = ply.half_turn(splats)
    np.testing.assert_array_equal(turned.means, splats.means @ flip.astype(np.float32))
    np.testing.assert_allclose(covariance(turned), flip @ covariance(splats) @ flip, atol=1e-5)
    for direction in np.random.default_rng(1).normal(size=(30, 3)):
        direction = direction / np.linalg.norm(direction)
        before, after = colour(splats.sh, direction), colour(turned.sh, flip @ direction)
        np.testing.assert_allclose(after, before, atol=1e-6)


def test_y_up_is_written_y_down(tmp_path: Path) -> None:
    """A splat at the top front of our world lies at -y, -z of the file."""
    splats = Splats(
        np.array([[0.1, 2, 3]]), np.array([[1.0, 0, 0, 0]]), np.zeros((1, 3)), np.zeros(1),
        np.zeros((1, 1, 3)),
    )  # fmt: skip
    write_ply(tmp_path / "a.ply", splats)
    np.testing.assert_allclose(trimesh.load(tmp_path / "a.ply").vertices[0], [0.1, -2, -3])


COLUMNS = [*ply.REQUIRED]


def make(
    rows: np.ndarray,
    kind: str = "<f4",
    columns: list[str] = COLUMNS,
    newline: str = "\n",
    extra: str = "",
    before: bytes = b"",
) -> bytes:
    """A PLY file built by hand; kind is a numpy scalar type or "ascii"."""
    types = {"f4": "float", "f8": "double", "u1": "uchar", "i2": "short", "scii": "float"}
    name = "ascii" if kind == "ascii" else f"binary_{'big' if kind[0] == '>' else 'little'}_endian"
    head = ["ply", f"format {name} 1.0", *([extra] if extra else []), f"element vertex {len(rows)}"]
    head += [f"property {types[kind[1:]]} {column}" for column in columns] + ["end_header", ""]
    if kind == "ascii":
        body = "".join(" ".join(repr(float(v)) for v in row) + newline for row in rows).encode()
    else:
        body = rows.astype(kind).tobytes()
    return newline.join(head).encode() + before + body


@pytest.mark.parametrize("kind", ["<f4", ">f4", "<f8", ">f8", "<i2", ">i2", "<u1", "ascii"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_reads_every_encoding(tmp_path: Path, kind: str, newline: str) -> None:
    rows = np.arange(2 * len(COLUMNS)).reshape(2, -1).astype(np.float64)
    path = tmp_path / "a.ply"
    path.write_bytes(make(rows, kind, newline=newline))
    splats = read_ply(path)
    flipped = rows * [1, -1, -1, *[1] * 7, 1, 1, -1, -1]
    np.testing.assert_array_equal(splats.means, flipped[:, :3])
    np.testing.assert_array_equal(splats.sh[:, 0], flipped[:, 3:6])
    np.testing.assert_array_equal(splats.logit_opacities, flipped[:, 6])
    np.testing.assert_array_equal(splats.log_scales, flipped[:, 7:10])
    np.testing.assert_array_equal(splats.quats, flipped[:, 10:])


@pytest.mark.parametrize("kind", ["<f4", "ascii"])
def test_reads_by_name_past_other_elements(tmp_path: Path, kind: str) -> None:
    columns = [*reversed(COLUMNS), "semantic"]
    rows = np.arange(float(len(columns)))[None]
    extra = "comment café \u0085 x\nobj_info\nelement camera 1\nproperty float fov"
    before = b"49.1\n" if kind == "ascii" else np.float32(49.1).tobytes()
    path = tmp_path / "a.ply"
    path.write_bytes(make(rows, kind, columns, extra=extra, before=before) + b"trailing")
    splats = read_ply(path)
    assert splats.means[0, 0] == columns.index("x")
    assert splats.logit_opacities[0] == columns.index("opacity")


ONE = np.ones((1, len(COLUMNS)))
GOOD = make(ONE)
REFUSED = {
    "empty file": (b"", "not a PLY"),
    "another format": (b"\x89PNG\r\n" * 10, "not a PLY"),
    "header cut": (GOOD[:100], "no end_header"),
    "endless header": (b"ply\n" + b"comment x\n" * 20000 + GOOD[4:], "no end_header"),
    "negative count": (GOOD.replace(b"vertex 1", b"vertex -1"), "count '-1'"),
    "fraction": (GOOD.replace(b"vertex 1", b"vertex 1.5"), "count '1.5'"),
    "2^63": (GOOD.replace(b"vertex 1", b"vertex 9223372036854775808"), "count"),
    "huge count": (GOOD.replace(b"vertex 1", b"vertex 999999999999999"), "at most 1"),
    "huge ascii count": (make(ONE, "ascii").replace(b"vertex 1", b"vertex 99999999999"), "at most"),
    "body cut": (GOOD[:-1], "at most 0"),
    "ascii body cut": (make(np.ones((9, 14)), "ascii")[:-112], "at most 7"),
    "ascii ragged": (make(np.ones((9, 14)), "ascii")[:-4], "bad ascii body"),
    "ascii word": (make(ONE, "ascii")[:-4] + b"abc\n", "bad ascii body"),
    "list": (GOOD.replace(b"property float x", b"property list uchar int x"), "list property 'x'"),
    "missing rot": (make(ONE[:, :-1], columns=COLUMNS[:-1]), "missing column.* rot_3"),
    "flat splats": (make(ONE[:, 1:], columns=[c for c in COLUMNS if c != "scale_2"]), "flat 2D"),
    "point cloud": (make(ONE[:, :3], columns=["x", "y", "z"]), "point cloud"),
    "compressed": (make(ONE[:, :1], columns=["packed_position"]), "compressed splat PLY"),
    "rest count": (make(np.ones((1, 15)), columns=[*COLUMNS, "f_rest_0"]), "1 f_rest columns"),
    "rest names": (
        make(np.ones((1, 23)), columns=[*COLUMNS, *(f"f_rest_{i}" for i in range(1, 10))]),
        "9 f_rest columns",
    ),
    "twice": (make(np.ones((1, 15)), columns=[*COLUMNS, "x"]), "'x' appears twice"),
    "no vertex": (GOOD.replace(b"element vertex", b"element splat"), "no vertex element"),
    "no format": (GOOD.replace(b"format", b"comment"), "no usable format"),
    "unknown type": (GOOD.replace(b"property float x", b"property half x"), "not valid PLY"),
    "property first": (GOOD.replace(b"element", b"property float a\nelement"), "not valid PLY"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refuses(tmp_path: Path, case: str) -> None:
    data, message = REFUSED[case]
    path = tmp_path / "bad.ply"
    path.write_bytes(data)
    tracemalloc.start()
    with pytest.raises(FileFormatError, match=message) as raised:
        read_ply(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "\n" not in str(raised.value)
    assert str(path) in str(raised.value)
    assert peak < 4_000_000


def test_empty_scene(tmp_path: Path) -> None:
    for kind in ("<f4", "ascii"):
        (tmp_path / "a.ply").write_bytes(make(np.ones((0, len(COLUMNS))), kind))
        assert len(read_ply(tmp_path / "a.ply")) == 0


def test_missing_file_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_ply(tmp_path / "none.ply")


def test_mutated_files_never_crash_or_hang(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """3000 damaged files: read, or refused by FileFormatError; nothing else, nothing slow."""
    rng = np.random.default_rng(0)
    seeds = [make(np.ones((3, 14)), kind) for kind in ("<f4", ">f8", "ascii")]
    for degree in (0, 3):
        write_ply(tmp_path / "seed.ply", random_splats(2, degree))
        seeds.append((tmp_path / "seed.ply").read_bytes())
    words = [b"element ", b"property list uchar int ", b"-1", b"99999999999", b"end_header\n"]
    words += [b"\r", b"\x00", b"nan", b"1e999", b"vertex", b"double", b"f_rest_0"]
    messages: list[str] = []
    slowest = 0.0
    for _ in range(3000):
        data = bytearray(seeds[rng.integers(len(seeds))])
        for _ in range(rng.integers(1, 4)):
            at = int(rng.integers(len(data) + 1))
            match rng.integers(5):
                case 0:
                    data[at : at + 1] = bytes([rng.integers(256)])
                case 1:
                    del data[at:]
                case 2:
                    del data[at : at + int(rng.integers(1, 40))]
                case 3:
                    data[at:at] = words[rng.integers(len(words))]
                case 4:
                    data[at:at] = data[at : at + int(rng.integers(1, 60))]
            if not data:
                break
        # from memory: making 3000 files would take longer than reading them
        monkeypatch.setattr(ply, "open", lambda *_, data=data: io.BytesIO(data), raising=False)
        start = time.perf_counter()
        try:
            read_ply("mutant.ply")
        except FileFormatError as error:
            messages.append(str(error))
        slowest = max(slowest, time.perf_counter() - start)
    assert slowest < 1.0
    assert 1000 < len(messages) < 3000
    assert not [message for message in messages if "\n" in message]


def test_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "scene.ply"
    write_ply(path, random_splats(3, 0))
    before = path.read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_ply(path, random_splats(4, 0))
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["scene.ply"]
