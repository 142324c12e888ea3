"""Damaged and hostile files: every reader answers with splats or with one line, soon, in bounds."""

from __future__ import annotations

import gzip
import io
import json
import struct
import subprocess
import sys
import time
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
import zstandard
from PIL import Image

from score3d.files.formats import decode_splats, read_splats, write_splats
from score3d.files.splats import FileFormatError, Splats

FUZZER = Path(__file__).parent.parent / "tools" / "fuzz_readers.py"


def test_mutated_files_of_every_format():
    """27 000 files: no other exception, no warning, nothing slow, no memory kept or claimed."""
    result = subprocess.run(
        [sys.executable, "-W", "error", FUZZER, "--count", "27000", "--seed", "3"],
        capture_output=True, text=True, timeout=200,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    report = json.loads(result.stdout)
    assert report["wrong"] == []
    assert report["slowest"] < 1.0, report["slowest_file"]
    assert report["growth_mb"] < 64
    for ending, count in report["files"].items():  # neither all refused nor all accepted
        assert count == 3000
        assert 0.3 * count < report["refused"][ending] < count


def simple(n: int = 10, degree: int = 0) -> Splats:
    rng = np.random.default_rng(0)
    return Splats(
        rng.normal(size=(n, 3)), rng.normal(size=(n, 4)), np.full((n, 3), -3.0), np.zeros(n),
        np.zeros((n, (degree + 1) ** 2, 3)),
    )  # fmt: skip


class Bounded:
    """What happens inside is quick, and the process grows by less than 64 MB meanwhile."""

    def __enter__(self) -> None:
        Path("/proc/self/clear_refs").write_text("5")  # forget the highest memory so far
        self.before, self.start = self._kilobytes("VmRSS"), time.perf_counter()

    def __exit__(self, *_: object) -> None:
        assert time.perf_counter() - self.start < 1.0
        assert self._kilobytes("VmHWM") - self.before < 64_000

    def _kilobytes(self, field: str) -> int:
        lines = Path("/proc/self/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith(field)).split()[1])


def refuse(data: bytes, name: str, message: str) -> None:
    with Bounded(), pytest.raises(FileFormatError, match=message) as raised:
        decode_splats(data, name)
    assert "\n" not in str(raised.value)
    assert str(raised.value).startswith(name)


def written(tmp_path: Path, ending: str, splats: Splats, **options: int) -> bytes:
    write_splats(tmp_path / f"x{ending}", splats, **options)
    return (tmp_path / f"x{ending}").read_bytes()


@pytest.mark.skipif(sys.platform != "linux", reason="memory is measured with /proc")
class TestBombs:
    def test_gzip(self):
        """A header that asks for little, and a gigabyte behind it: only what was asked is read."""
        head = struct.pack("<IIIBBBB", 0x5053474E, 3, 1, 0, 12, 0, 0)
        packer = zlib.compressobj(9, wbits=31)
        bomb = packer.compress(head + bytes(20))
        for _ in range(64):
            bomb += packer.compress(bytes(1 << 20))
        bomb += packer.flush()
        with Bounded():
            assert len(decode_splats(bomb, "a.spz")) == 1

    def test_gzip_that_asks_for_much(self):
        head = struct.pack("<IIIBBBB", 0x5053474E, 3, 4_000_000, 0, 12, 0, 0)
        refuse(gzip.compress(head + bytes(1000)), "a.spz", "4000000 splats, far more than")

    def test_zstandard_with_more_inside_than_the_table_says(self, tmp_path):
        data = bytearray(written(tmp_path, ".spz", simple()))
        bomb = zstandard.ZstdCompressor().compress(bytes(1 << 27))
        head = struct.pack("<IIIBBBBI12x", 0x5053474E, 4, 10, 0, 12, 0, 5, 32)
        sizes = [90, 10, 30, 30, 40]
        table = b"".join(struct.pack("<QQ", len(bomb), size) for size in sizes)
        refuse(head + table + bomb * 5, "a.spz", "holds 91 bytes or more, expected 90")
        data[8:12] = (2**32 - 1).to_bytes(4, "little")
        refuse(bytes(data), "a.spz", "4294967295 splats, far more than")

    def test_zstandard_with_a_huge_window(self, tmp_path):
        parameters = zstandard.ZstdCompressionParameters(window_log=30, enable_ldm=True)
        stream = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
        bomb = stream.compress(bytes(90)) + stream.flush()  # no size in its header
        head = struct.pack("<IIIBBBBI12x", 0x5053474E, 4, 10, 0, 12, 0, 5, 32)
        table = b"".join(struct.pack("<QQ", len(bomb), size) for size in [90, 10, 30, 30, 40])
        refuse(head + table + bomb * 5, "a.spz", "damaged Zstandard data")

    def test_zip(self):
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as bundle:
            bundle.writestr("meta.json", b" " * (1 << 27))
        refuse(out.getvalue(), "a.sog", "unpacks to more than 500000 bytes")

    def test_zip_with_a_member_that_unpacks_to_a_gigabyte(self, tmp_path):
        data = written(tmp_path, ".sog", simple())
        out = io.BytesIO()
        with (
            zipfile.ZipFile(io.BytesIO(data)) as good,
            zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as bundle,
        ):
            for name in good.namelist():
                bomb = name == "quats.webp"
                bundle.writestr(name, bytes(1 << 27) if bomb else good.read(name))
        refuse(out.getvalue(), "a.sog", "'quats.webp' unpacks to more than")

    def test_picture(self, tmp_path):
        """16383 x 16383 pixels in a few kilobytes: 1 GB once decoded."""
        data = written(tmp_path, ".sog", simple())
        small = io.BytesIO()
        Image.new("RGBA", (16, 16)).save(small, "WEBP", lossless=True)
        picture = bytearray(small.getvalue())
        picture[21:25] = (0x3FFF | 0x3FFF << 14).to_bytes(4, "little")
        out = io.BytesIO()
        with zipfile.ZipFile(io.BytesIO(data)) as good, zipfile.ZipFile(out, "w") as bundle:
            for name in good.namelist():
                bundle.writestr(name, bytes(picture) if name == "sh0.webp" else good.read(name))
        refuse(out.getvalue(), "a.sog", "16384 x 16384 pixels, far more than it needs")

    def test_sog_count(self, tmp_path):
        data = written(tmp_path, ".sog", simple())
        with zipfile.ZipFile(io.BytesIO(data)) as good:
            meta = json.loads(good.read("meta.json"))
        for count, message in (
            (-1, "count is '-1'"),
            (10**12, "far more than a file"),
            (1e3, "count is '1000.0'"),
            ("10", "count is '10'"),
            (None, "count is 'None'"),
        ):
            out = io.BytesIO()
            with zipfile.ZipFile(out, "w") as bundle:
                bundle.writestr("meta.json", json.dumps(meta | {"count": count}))
            refuse(out.getvalue(), "a.sog", message)

    def test_glb_counts(self, tmp_path):
        data = written(tmp_path, ".glb", simple())
        for count, message in (
            (b"-9", "count of POSITION is not a whole number"),
            (b"10e9", "count of POSITION is not a whole number"),
            (b"99999999999", "needs 1199999999988 bytes"),
        ):
            changed = data.replace(b'"count":10', b'"count":' + count)
            length = int.from_bytes(data[12:16], "little") + len(changed) - len(data)
            changed = changed[:12] + length.to_bytes(4, "little") + changed[16:]
            refuse(changed, "a.glb", message)

    def test_glb_json_nested_without_end(self):
        text = b"[" * 100_000
        data = struct.pack("<IIIII", 0x46546C67, 2, 0, len(text), 0x4E4F534A) + text
        refuse(data, "a.glb", "not valid JSON")

    def test_ksplat_counts(self):
        header = bytearray(4096)
        header[1] = 1
        header[4:8] = header[16:20] = (2**32 - 1).to_bytes(4, "little")
        refuse(bytes(header), "a.ksplat", "4294967295 section headers do not fit")

    def test_compressed_ply_counts(self, tmp_path):
        data = written(tmp_path, ".compressed.ply", simple())
        for count, message in (
            (b"-1", "is not that of a compressed PLY"),
            (b"99999999999999", "do not fit in the file"),
            (b"9" * 30, "is not that of a compressed PLY"),
        ):
            changed = data.replace(b"element vertex 10", b"element vertex " + count)
            refuse(changed, "a.ply", message)

    def test_compact_counts(self, tmp_path):
        """Counts and tables that promise much, with a checksum that is right."""
        data = written(tmp_path, ".s3z", simple())
        for count, message in (
            (0, "its header makes no sense"),
            (2**32 - 1, "4294967295 splats, far more than"),
            (71_000, "its octree holds|ends too soon"),
        ):
            refuse(checked(data[:8] + count.to_bytes(4, "little") + data[12:]), "a.s3z", message)
        tables = bytearray(data)
        for at in range(16 + 96, 16 + 96 + 32, 8):  # as many symbols as can be said
            tables[at + 2 : at + 4] = (65535).to_bytes(2, "little")
        refuse(checked(tables), "a.s3z", "ends too soon")
        tables[16 + 96 + 2 : 16 + 96 + 4] = bytes(2)
        refuse(checked(tables), "a.s3z", "a table makes no sense")

    def test_compact_splats_that_cost_next_to_nothing(self, tmp_path):
        """More equal splats than a small file may hold: padded when written, and read; refused when
        they come without the padding."""
        data = written(tmp_path, ".s3z", simple(1).select(np.zeros(72_000, np.int64)))
        assert 40_000 < len(data) < 41_000
        assert not any(data[1000:])
        decode_splats(written(tmp_path, ".s3z", simple()), "a.s3z")  # compiles
        with Bounded():
            assert len(decode_splats(data, "a.s3z")) == 72_000
        refuse(checked(data[:1000]), "a.s3z", "72000 splats, far more than")


def checked(data: bytes) -> bytes:
    """A .s3z file with a checksum that is right."""
    return bytes(data[:12]) + zlib.crc32(data[16:]).to_bytes(4, "little") + bytes(data[16:])


@pytest.mark.parametrize("ending", [".spz", ".sog", ".glb", ".compressed.ply", ".ply", ".splat",
                                    ".s3z"])  # fmt: skip
def test_every_cut(tmp_path, ending):
    """A file cut short anywhere is refused, but where what is left is a whole file."""
    data = written(tmp_path, ending, simple(degree=0 if ending == ".splat" else 1))
    for length in range(0, len(data), max(1, len(data) // 150)):
        if ending == ".splat" and length % 32 == 0:
            assert len(decode_splats(data[:length], "a.splat")) == length // 32
        else:
            with pytest.raises(FileFormatError):
                decode_splats(data[:length], f"a{ending}")


def test_ksplat_reads_what_it_should():
    """Against values laid down by hand, in all three levels; splat-transform is asked elsewhere."""
    namespace: dict[str, object] = {"__name__": "fuzz_readers"}
    exec(compile(FUZZER.read_text(), str(FUZZER), "exec"), namespace)
    rng = np.random.default_rng(5)
    data = namespace["ksplat"](1, 0, rng)  # type: ignore[operator]
    splats = decode_splats(data, "a.ksplat")
    centres = np.frombuffer(data, "<f4", 9, 4096 + 1024 + 4).reshape(3, 3)
    raw = np.frombuffer(data, "<u2", 3, 4096 + 1024 + 4 + 36)
    expected = (raw.astype(float) - 32767) * (5.0 / 2 / 32767) + centres[0]
    np.testing.assert_allclose(splats.means[0] * [1, -1, -1], expected, atol=1e-6)
    np.testing.assert_allclose(splats.log_scales, np.log(0.05), atol=1e-3)
    last = np.frombuffer(data, "<u2", 3, 4096 + 1024 + 4 + 36 + 19 * 24)
    expected = (last.astype(float) - 32767) * (5.0 / 2 / 32767) + centres[2]
    np.testing.assert_allclose(splats.means[19] * [1, -1, -1], expected, atol=1e-6)


def test_damaged_usd(tmp_path):
    """In a process of its own: it is another library that reads, in another language."""
    pytest.importorskip("pxr")
    script = """
import sys, numpy as np
from pathlib import Path
from score3d.files.formats import read_splats
from score3d.files.splats import FileFormatError
rng, refused = np.random.default_rng(0), 0
data = Path(sys.argv[1]).read_bytes()
for i in range(150):
    changed = bytearray(data)
    for _ in range(rng.integers(1, 4)):
        at = int(rng.integers(len(changed)))
        changed[at : at + int(rng.integers(1, 9))] = rng.bytes(rng.integers(0, 9))
    path = Path(sys.argv[1]).with_stem(f"damaged{i}")
    path.write_bytes(changed)
    try:
        read_splats(path)
    except FileFormatError as error:
        assert "\\n" not in str(error)
        refused += 1
print(refused)
"""
    write_splats(tmp_path / "a.usda", simple(degree=1))
    result = subprocess.run(
        [sys.executable, "-c", script, tmp_path / "a.usda"], capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr[-2000:]
    assert int(result.stdout) > 20


def test_missing_file(tmp_path):
    for ending in (".spz", ".usda", ".sog", ".glb"):
        with pytest.raises(OSError, match="none"):
            read_splats(tmp_path / f"none{ending}")
