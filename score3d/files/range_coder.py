"""Adaptive arithmetic coding of small whole numbers, compiled.

A range coder with carries (Martin 1979) and one adaptive table of frequencies per context. A table
begins as a discretised Gaussian given by the caller, or flat, so that few symbols are enough. Sums
of frequencies are kept in a tree (Fenwick 1994), so that the largest table is not slow.
"""

from __future__ import annotations

import numba as nb
import numpy as np
from numpy.typing import NDArray

from score3d.files.splats import FileFormatError

__all__ = ["Decoder", "Encoder", "gaussian_start", "learned"]

TOP, BOTTOM = 1 << 24, 1 << 16
STEP, MOST = 24, 1 << 15  # added to a symbol's frequency each time; sum at which all are halved


def gaussian_start(size: int, mean: float, deviation: float, weight: int = 400) -> NDArray:
    """Frequencies [size] that expect a Gaussian; each is at least 1."""
    at = (np.arange(size) - mean) / max(deviation, 0.3)
    shape = np.exp(-0.5 * np.minimum(at * at, 80.0))
    return np.floor(shape / shape.sum() * weight).astype(np.int64) + 1


def learned(symbols: NDArray[np.int64], size: int) -> NDArray[np.float64]:
    """Probabilities [size] that a table has about when it has seen these symbols."""
    mean, deviation = (symbols.mean(), symbols.std()) if symbols.size else (0.0, 0.0)
    table = gaussian_start(size, float(mean), float(deviation))
    table = table + STEP * np.bincount(symbols, minlength=size)
    return table / table.sum()


class Encoder:
    """Collects symbols; `bytes()` ends it."""

    def __init__(self) -> None:
        # low, range, cache, bytes pending after the cache, bytes written
        self._state = np.array([0, 0xFFFFFFFF, 0, 1, 0], np.int64)
        self._out = np.zeros(1 << 12, np.uint8)

    def put(self, symbols: NDArray, start: NDArray, contexts: NDArray | None = None) -> None:
        """Encode symbols [N] in 0..size-1; `start` is one table [size], copied for each context."""
        values = np.ascontiguousarray(symbols, np.int64)
        context, tables = _prepared(values.shape[0], start, contexts)
        room = int(self._state[3] + self._state[4]) + 8 * len(values) + 16
        if room > len(self._out):
            self._out = np.concatenate([self._out, np.zeros(room, np.uint8)])
        _encode(self._state, self._out, values, context, tables)

    def bytes(self) -> bytes:
        room = int(self._state[3] + self._state[4]) + 16
        self._out = np.concatenate([self._out, np.zeros(room, np.uint8)])
        _flush(self._state, self._out)
        return self._out[1 : self._state[4]].tobytes()  # the first byte is always zero


class Decoder:
    """Gives back what `Encoder` was given. `name` is for errors: FileFormatError as soon as more
    has been read than there is, so that no short file is read for long."""

    def __init__(self, data: bytes, name: str) -> None:
        self._data, self._name = np.frombuffer(data, np.uint8), name
        code = int.from_bytes(data[:4].ljust(4, b"\0"), "big")
        self._state = np.array([0, 0xFFFFFFFF, code, 4], np.int64)  # low, range, code, position

    def get(self, count: int, start: NDArray, contexts: NDArray | None = None) -> NDArray[np.int64]:
        """Decode `count` symbols with the tables they were encoded with."""
        context, tables = _prepared(count, start, contexts)
        values = _decode(self._state, self._data, count, context, tables)
        if self._state[3] > len(self._data):
            raise FileFormatError(f"{self._name}: damaged, its coded data ends too soon")
        return values


def _prepared(count: int, start: NDArray, contexts: NDArray | None) -> tuple[NDArray, NDArray]:
    context = np.zeros(count, np.int64) if contexts is None else contexts.astype(np.int64)
    tables = np.tile(start.astype(np.int64), (int(context.max(initial=0)) + 1, 1))
    return context, tables


@nb.njit(cache=True)
def _trees(tables: NDArray) -> NDArray:
    """For each table a tree of sums [size + 1]: entry i has those of the i & -i before it; entry 0
    has the sum of all."""
    trees = np.zeros((len(tables), tables.shape[1] + 1), np.int64)
    for c in range(len(tables)):
        _grow(tables[c], trees[c])
    return trees


@nb.njit(cache=True)
def _grow(table: NDArray, tree: NDArray) -> None:
    tree[0], tree[1:] = table.sum(), table
    for i in range(1, len(tree)):
        parent = i + (i & -i)
        if parent < len(tree):
            tree[parent] += tree[i]


@nb.njit(cache=True)
def _below(tree: NDArray, symbol: int) -> int:
    total = 0
    while symbol:
        total += tree[symbol]
        symbol &= symbol - 1
    return total


@nb.njit(cache=True)
def _learn(table: NDArray, tree: NDArray, symbol: int) -> None:
    table[symbol] += STEP
    tree[0] += STEP
    if tree[0] > MOST:
        for i in range(len(table)):
            table[i] = (table[i] + 1) // 2
        _grow(table, tree)
        return
    i = symbol + 1
    while i < len(tree):
        tree[i] += STEP
        i += i & -i


@nb.njit(cache=True)
def _shift(state: NDArray, out: NDArray) -> None:
    """Move the top byte of low out, carrying into the bytes before it."""
    low = state[0]
    if low < 0xFF000000 or low > 0xFFFFFFFF:
        carry = low >> 32
        byte = state[2]
        for _ in range(state[3]):
            out[state[4]] = (byte + carry) & 255
            state[4] += 1
            byte = 255
        state[3] = 0
        state[2] = (low >> 24) & 255
    state[3] += 1
    state[0] = (low & 0xFFFFFF) << 8


@nb.njit(cache=True)
def _encode(
    state: NDArray, out: NDArray, values: NDArray, context: NDArray, tables: NDArray
) -> None:
    trees = _trees(tables)
    for i in range(len(values)):
        c, symbol = context[i], values[i]
        unit = state[1] // trees[c, 0]
        state[0] += _below(trees[c], symbol) * unit
        state[1] = unit * tables[c, symbol]
        while state[1] < TOP:
            state[1] = (state[1] << 8) & 0xFFFFFFFF
            _shift(state, out)
        _learn(tables[c], trees[c], symbol)


@nb.njit(cache=True)
def _flush(state: NDArray, out: NDArray) -> None:
    for _ in range(5):
        _shift(state, out)


@nb.njit(cache=True)
def _decode(
    state: NDArray, data: NDArray, count: int, context: NDArray, tables: NDArray
) -> NDArray:
    values = np.zeros(count, np.int64)
    size, largest = tables.shape[1], 1
    while 2 * largest <= size:
        largest *= 2
    trees = _trees(tables)
    for i in range(count):
        c = context[i]
        unit = state[1] // trees[c, 0]
        target = min(state[2] // unit, trees[c, 0] - 1)
        symbol, below, step = 0, 0, largest
        while step:
            if symbol + step <= size and below + trees[c, symbol + step] <= target:
                symbol += step
                below += trees[c, symbol]
            step //= 2
        state[2] -= below * unit
        state[1] = unit * tables[c, symbol]
        while state[1] < TOP:
            byte = data[state[3]] if state[3] < len(data) else 0
            state[2] = ((state[2] << 8) | byte) & 0xFFFFFFFF
            state[1] = (state[1] << 8) & 0xFFFFFFFF
            state[3] += 1
        if state[3] > len(data):
            break
        values[i] = symbol
        _learn(tables[c], trees[c], symbol)
    return values
