"""Would entropy-constrained vector quantisation make .s3z smaller? Cost at equal price.

    python scripts/measure_vector_quantisation.py OUT.json [SCENES]

The first SCENES (8) of measure_compression.py, refitted at 1/20 of the float PLY, and the same
without refitting at the same price of a bit (refitting draws values towards the scalar grid, which
would favour it). Both kinds of quantisation minimise bits + 6 / ln 2 |error in steps|^2, the
exchange rate that the file's steps imply, and this cost, in bytes, is what is compared, by
attribute:

scalar: what .s3z does; symbols coded as in the file, differences from the neighbours where cheaper.
own: ECVQ (Chou, Lookabaugh and Gray 1989) trained on the scene; a byte for each number of the
    codebook, as that is in the file; indices by the same adaptive coder.
shared: ECVQ trained on 8000 vectors of the other scenes; its codebook and frequencies cost
    nothing.

Of codebooks of 16, 64, 256 and 1024 vectors the best counts, for each attribute and scene. First
harmonics are taken as one vector of nine, and as a vector of three for each of Y, Cg and Co.
"""

import json
import math
import sys
from pathlib import Path

import numpy as np
from measure_compression import OBJECTS, fit
from numpy.typing import NDArray

from score3d.compress import REFINE, Reference
from score3d.files.compact import (
    Quantised,
    Steps,
    cheaper_predicted,
    neighbours_in_order,
    predictions,
    quantise,
)
from score3d.files.range_coder import Encoder, gaussian_start
from score3d.files.splat_latents import Latents
from score3d.refine import refine
from score3d.world.shapes import build

SIZES = (16, 64, 256, 1024)
PRICE = 6 / math.log(2)  # bits for a squared error of one step
TABLE = 8  # bytes that describe a table of the file


def coded(symbols: NDArray, start: NDArray) -> float:
    coder = Encoder()
    coder.put(symbols, start)
    return len(coder.bytes()) - 4.0  # which end the stream, once a file


def scalar_bytes(block: NDArray) -> float:
    """Symbols [N, width], each column with a table that begins the same."""
    low, count = int(block.min()), int(np.ptp(block)) + 1
    start = gaussian_start(count, float(block.mean()) - low, float(block.std()))
    return TABLE + sum(coded(column - low, start) for column in block.T)


def parts(values: Latents, q: Quantised) -> dict[str, tuple[NDArray, float]]:
    """By attribute: vectors in steps [N, d] in the file's order, less what is predicted, and the
    cost of scalar quantisation in bytes."""
    order, near = neighbours_in_order(q)
    found = {}
    for name in ("scales", "rotation", "colour"):
        size = q.sizes[name][order]
        symbols = q.symbols[name][order]
        vectors = getattr(values, name)[order] / size[:, None]
        error = PRICE / 8 * ((vectors - symbols) ** 2).sum()
        if name != "rotation":
            expected = predictions(symbols, size, near)
            if cheaper_predicted(symbols, expected):
                symbols, vectors = symbols - expected, vectors - expected
        found[name] = vectors, scalar_bytes(symbols) + error
    vectors = values.harmonics[order] / q.sizes["harmonics"][order, None, None]
    symbols, degrees = q.symbols["sh1"][order], q.degrees[order]
    total = coded(degrees, np.ones(2, np.int64))
    for c, channel in enumerate(("Y", "Cg", "Co")):
        cost = PRICE / 8 * float(((vectors - symbols)[..., c] ** 2).sum())
        cost += scalar_bytes(symbols[degrees > 0, :, c]) if degrees.any() else 0.0
        found[f"harmonics {channel}"] = vectors[..., c], cost
        total += cost
    found["harmonics"] = vectors.reshape(len(order), -1), total
    return found


def assign(vectors: NDArray, book: NDArray, bits: NDArray) -> tuple[NDArray, float]:
    """The cheapest codeword of each vector, and the sum of squared errors."""
    squared = (vectors**2).sum(1)[:, None] - 2 * vectors @ book.T + (book**2).sum(1)
    index = (PRICE * squared + bits).argmin(axis=1)
    return index, float(squared[np.arange(len(index)), index].clip(0).sum())


def ecvq(vectors: NDArray, size: int, seed: int) -> tuple[NDArray, NDArray]:
    """Codebook [M, d], the commonest first, and how often each is used [M]."""
    rng = np.random.default_rng(seed)
    book = vectors[rng.choice(len(vectors), min(size, len(vectors)), replace=False)]
    bits = np.full(len(book), math.log2(len(book)))
    for _ in range(15):
        index, _ = assign(vectors, book, bits)
        used, index, count = np.unique(index, return_inverse=True, return_counts=True)
        sums = np.zeros((len(used), vectors.shape[1]))
        np.add.at(sums, index, vectors)
        book, bits = sums / count[:, None], -np.log2(count / len(vectors))
    order = np.argsort(bits)
    return book[order], count[order]


def main() -> None:
    out, scenes = Path(sys.argv[1]), {}
    for noun, colour, material in OBJECTS[: int(sys.argv[2]) if len(sys.argv) > 2 else None]:
        splats = fit(build(noun, colour, np.random.default_rng(7), material=material))
        values, size = Latents.of(splats), len(splats) * 4 * (14 + splats.sh[0].size) // 20
        refitted, steps = refine(values, Reference(splats), REFINE, size=size)
        for kind, at in (("refitted", refitted), ("as it was", values)):
            finest = Steps(**{**vars(steps), "cube": None})
            scenes[f"{noun}, {kind}"] = parts(at, quantise(at, finest))
        print(noun, len(refitted.opacity), flush=True)
    rows = []
    for scene, attributes in scenes.items():
        noun, kind = scene.split(", ")
        row: dict = {"scene": scene}
        for name, (vectors, scalar) in attributes.items():
            others = [p[name][0] for s, p in scenes.items() if s.endswith(kind) and s != scene]
            found = {"scalar": scalar, "own": math.inf, "shared": math.inf}
            pooled = np.random.default_rng(0).permutation(np.concatenate(others))[:8000]
            for many in SIZES:
                for variant, training in (("own", vectors), ("shared", pooled)):
                    book, count = ecvq(training, many, 0)
                    start = np.ones(len(book), np.int64)
                    if variant == "shared":
                        start = start + np.floor(400 * count / count.sum()).astype(np.int64)
                    index, error = assign(vectors, book, -np.log2(count / count.sum()))
                    cost = coded(index, start) + PRICE / 8 * error
                    cost += book.size if variant == "own" else 0
                    found[variant] = min(found[variant], cost)
            row[name] = {k: round(v) for k, v in found.items()}
        rows.append(row)
        print(json.dumps(row), flush=True)
        out.write_text(json.dumps(rows, indent=1))
    for kind in ("refitted", "as it was"):
        for name in list(rows[0])[1:]:
            sums = [sum(r[name][k] for r in rows if r["scene"].endswith(kind))
                    for k in ("scalar", "own", "shared")]  # fmt: skip
            print(kind, name, sums, [round(s / sums[0], 3) for s in sums])


if __name__ == "__main__":
    main()
