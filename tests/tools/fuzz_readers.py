"""Feeds damaged splat files to the readers, in a process of its own so that memory can be seen.

    python tests/tools/fuzz_readers.py --count 22000 --seed 0

Prints JSON: files per format, how many were refused, the slowest in seconds, the growth of the
process in MB, and every outcome that is neither splats nor a one-line FileFormatError.
"""

from __future__ import annotations

import argparse
import gzip
import io
import json
import resource
import tempfile
import time
import zipfile
import zlib
from pathlib import Path

import numpy as np

from score3d.files.formats import decode_splats, write_splats
from score3d.files.splats import FileFormatError, Splats

INTEGERS = [0, 1, 2, 255, 65535, 2**31 - 1, 2**31, 2**32 - 1]
WORDS = [b"nan", b"-1", b"1e999", b"99999999999", b"null", b"[]", b"{}", b'"x"', b"true", b"[[[["]
# the PLY mutants of tests/files/test_ply.py, which knows its header, come on top of these
FORMATS = (".splat", ".spz", ".spz3", ".sog", ".glb", ".compressed.ply", ".ksplat", ".ply",
           ".s3z")  # fmt: skip


def random_splats(n: int, degree: int, rng: np.random.Generator) -> Splats:
    return Splats(
        rng.normal(size=(n, 3)), rng.normal(size=(n, 4)), rng.normal(size=(n, 3)) - 3,
        rng.normal(size=n), rng.normal(size=(n, (degree + 1) ** 2, 3)) * 0.3,
    )  # fmt: skip


def ksplat(level: int, degree: int, rng: np.random.Generator, n: int = 20) -> bytes:
    """A .ksplat of one section with two full buckets of 8 and one of 4."""
    count = (0, 9, 24)[degree]
    main, section = bytearray(4096), bytearray(1024)
    main[1] = 1
    main[4:8] = main[8:12] = (1).to_bytes(4, "little")
    main[12:16] = main[16:20] = n.to_bytes(4, "little")
    main[20:22] = level.to_bytes(2, "little")
    np.frombuffer(main, "<f4")[9:11] = -1.5, 1.5
    whole = np.frombuffer(section, "<u4")
    whole[:4] = n, n, 8, 3
    np.frombuffer(section, "<f4")[4] = 5.0
    section[20:22] = (12).to_bytes(2, "little")
    whole[6], whole[8], whole[9] = 32767 if level else 1, 2, 1
    section[40:42] = degree.to_bytes(2, "little")
    wide, narrow, sh = [("<f4", "<f4", "<f4"), ("<u2", "<f2", "<f2"), ("<u2", "<f2", "u1")][level]
    rows = np.zeros(
        n,
        [("mean", wide, 3), ("scale", narrow, 3), ("quat", narrow, 4), ("rgba", "u1", 4),
         ("sh", sh, (count,))],
    )  # fmt: skip
    rows["mean"] = rng.integers(20000, 40000, (n, 3)) if level else rng.normal(size=(n, 3))
    rows["scale"], rows["quat"] = 0.05, rng.normal(size=(n, 4))
    rows["rgba"] = rng.integers(0, 256, (n, 4))
    rows["sh"] = rng.integers(0, 256, (n, count)) if level == 2 else rng.normal(size=(n, count))
    buckets = np.array([4], "<u4").tobytes() + rng.normal(size=(3, 3)).astype("<f4").tobytes()
    return bytes(main + section) + buckets + rows.tobytes()


def seeds(rng: np.random.Generator) -> dict[str, list[bytes]]:
    """A few good files of every format."""
    found: dict[str, list[bytes]] = {ending: [] for ending in FORMATS}
    with tempfile.TemporaryDirectory() as folder:
        for degree in (0, 1, 3):
            splats = random_splats(20, degree, rng)
            for ending in FORMATS:
                path = Path(folder) / f"a{'.spz' if ending == '.spz3' else ending}"
                if ending == ".ksplat":
                    continue
                write_splats(path, splats, spz_version=3 if ending == ".spz3" else 4)
                found[ending].append(path.read_bytes())
    old = Path(__file__).parent.parent / "files" / "version1.s3z"
    found[".s3z"].append(old.read_bytes())
    found[".ksplat"] = [ksplat(level, degree, rng) for level in range(3) for degree in range(3)]
    return found


def damage(data: bytes, rng: np.random.Generator, times: int = 3) -> bytes:
    """One to `times` changes of the kinds that disks, networks and adversaries make."""
    changed = bytearray(data)
    for _ in range(rng.integers(1, times + 1)):
        # most of what a reader trusts stands near the beginning
        reach = len(changed) + 1 if rng.random() < 0.5 else min(len(changed) + 1, 200)
        at = int(rng.integers(reach))
        match rng.integers(8):
            case 0:
                changed[at : at + 1] = bytes([rng.integers(256)])
            case 1 if rng.random() < 0.3:
                del changed[at:]
            case 2:
                del changed[at : at + int(rng.integers(1, 40))]
            case 3:
                changed[at:at] = WORDS[rng.integers(len(WORDS))]
            case 4:
                changed[at:at] = changed[at : at + int(rng.integers(1, 60))]
            case 5:
                value = INTEGERS[rng.integers(len(INTEGERS))]
                at -= at % 4
                changed[at : at + 4] = value.to_bytes(4, "little")
            case 6:
                changed[at : at + 4] = np.float32(rng.choice([np.nan, np.inf, -1e38])).tobytes()
            case 7:
                other = int(rng.integers(len(changed) + 1))
                changed[at : at + 8] = changed[other : other + 8]
    return bytes(changed)


def damage_inside(ending: str, data: bytes, rng: np.random.Generator) -> bytes:
    """Change what a container holds, so that its checksums are right."""
    if ending == ".spz3":
        return gzip.compress(damage(gzip.decompress(data), rng), 1)
    if ending == ".sog":
        out = io.BytesIO()
        with zipfile.ZipFile(io.BytesIO(data)) as bundle, zipfile.ZipFile(out, "w") as changed:
            names = bundle.namelist()
            chosen = "meta.json" if rng.random() < 0.6 else names[rng.integers(len(names))]
            for name in names:
                content = bundle.read(name)
                changed.writestr(name, damage(content, rng) if name == chosen else content)
        return out.getvalue()
    if ending == ".s3z":
        changed = bytearray(damage(data[:12] + data[16:], rng))
        changed[12:12] = zlib.crc32(changed[12:]).to_bytes(4, "little")
        return bytes(changed)
    return damage(data, rng, times=8)


def named(ending: str) -> str:
    return "a.spz" if ending == ".spz3" else "a" + ending


def memory() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=22_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng = np.random.default_rng(options.seed)
    good = seeds(rng)
    for ending, files in good.items():
        for data in files:
            assert len(decode_splats(data, named(ending))) >= 20
    before = memory()
    report = {"files": dict.fromkeys(FORMATS, 0), "refused": dict.fromkeys(FORMATS, 0)}
    slowest, wrong = 0.0, []
    for i in range(options.count):
        ending = FORMATS[i % len(FORMATS)]
        data = good[ending][rng.integers(len(good[ending]))]
        data = damage_inside(ending, data, rng) if rng.random() < 0.5 else damage(data, rng)
        name = named(ending)
        report["files"][ending] += 1
        start = time.perf_counter()
        try:
            decode_splats(data, name).finite()
        except FileFormatError as error:
            report["refused"][ending] += 1
            if "\n" in str(error) or not str(error).startswith(name) or len(str(error)) > 400:
                wrong.append(f"{ending} #{i}: message {str(error)!r}")
        except Exception as error:  # what the fuzzing is for
            wrong.append(f"{ending} #{i}: {type(error).__name__}: {error}"[:300])
        seconds = time.perf_counter() - start
        if seconds > slowest:
            slowest, report["slowest_file"] = seconds, f"{ending} #{i}"
    report |= {"slowest": slowest, "growth_mb": memory() - before, "wrong": wrong}
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
