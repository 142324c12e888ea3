"""Eight float32 lanes as a Numba type, so that kernels say in Python what a C programmer would
say with intrinsics.

Why not leave it to LLVM's loop vectoriser: a splat covers five to thirty pixels of a row, so the
trip count is short and unknown, and the vectoriser turns such loops into scalar remainders. Here
a value of type ``F8`` *is* an LLVM ``<8 x float>`` and one of type ``M8`` an ``<8 x i32>`` whose
lanes are 0 or -1 (an ``<8 x i1>`` would be packed and unpacked between every two operations).
LLVM maps them to one AVX register, or splits them in two for SSE and NEON, on whatever CPU runs.

Operators ``+ - * /`` work between ``F8`` and ``F8`` or a scalar (scalars are rounded to float32
and broadcast), ``< <= > >=`` give an ``M8`` and ``& |`` combine masks. Keep both in variables and
tuples; a Numba list does not align its items as vector loads demand and would crash.

No fast-math flag is set anywhere: the forward and the backward kernel must take bit-identical
decisions at the cut-offs, so multiply-adds are fused only where ``fma`` says so.
"""

import operator
from typing import ClassVar

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.typing.templates import ConcreteTemplate, infer_global, signature
from numba.extending import intrinsic, lower_builtin, models, register_model

LANES = 8

_VEC = ir.VectorType(ir.FloatType(), LANES)
_INT = ir.VectorType(ir.IntType(32), LANES)


class _LaneType(types.Type):
    """A Numba type that is one LLVM vector."""

    def __init__(self, name: str, llvm: ir.Type) -> None:
        super().__init__(name=name)
        self.llvm = llvm


F8 = _LaneType("F8", _VEC)
M8 = _LaneType("M8", _INT)


@register_model(_LaneType)
class _LaneModel(models.PrimitiveModel):
    def __init__(self, dmm, fe_type):
        super().__init__(dmm, fe_type, fe_type.llvm)


def _constant(value: float) -> ir.Constant:
    return ir.Constant(_VEC, [ir.Constant(ir.FloatType(), value)] * LANES)


def _broadcast(builder, scalar):
    one = builder.insert_element(ir.Constant(_VEC, ir.Undefined), scalar, ir.IntType(32)(0))
    lanes = ir.Constant(ir.VectorType(ir.IntType(32), LANES), None)
    return builder.shuffle_vector(one, ir.Constant(_VEC, ir.Undefined), lanes)


def _as_vector(context, builder, value, kind):
    if kind is F8:
        return value
    return _broadcast(builder, context.cast(builder, value, kind, types.float32))


def _call(builder, name: str, args):
    kind = ir.FunctionType(_VEC, [a.type for a in args])
    full_name = f"{name}.v{LANES}f32"
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, full_name), args)


# --- operators ---------------------------------------------------------------------------------

_SCALARS = (types.float32, types.float64)
_ARITHMETIC = {
    operator.add: "fadd",
    operator.sub: "fsub",
    operator.mul: "fmul",
    operator.truediv: "fdiv",
}
_COMPARISON = {operator.lt: "<", operator.le: "<=", operator.gt: ">", operator.ge: ">="}
_LOGIC = {operator.and_: "and_", operator.or_: "or_"}


def _register(op, result, emit, pairs) -> None:
    @infer_global(op)
    class _Template(ConcreteTemplate):
        key = op
        cases: ClassVar = [signature(result, left, right) for left, right in pairs]

    for left, right in pairs:
        lower_builtin(op, left, right)(emit)


def _arithmetic(method: str):
    def emit(context, builder, sig, args):
        a, b = (_as_vector(context, builder, v, k) for v, k in zip(args, sig.args, strict=True))
        return getattr(builder, method)(a, b)

    return emit


def _compare(symbol: str):
    def emit(context, builder, sig, args):
        a, b = (_as_vector(context, builder, v, k) for v, k in zip(args, sig.args, strict=True))
        return builder.sext(builder.fcmp_ordered(symbol, a, b), _INT)

    return emit


def _logic(method: str):
    def emit(context, builder, sig, args):
        return getattr(builder, method)(*args)

    return emit


_MIXED = [(F8, F8)] + [(F8, s) for s in _SCALARS] + [(s, F8) for s in _SCALARS]
for _op, _method in _ARITHMETIC.items():
    _register(_op, F8, _arithmetic(_method), _MIXED)
for _op, _symbol in _COMPARISON.items():
    _register(_op, M8, _compare(_symbol), _MIXED)
for _op, _method in _LOGIC.items():
    _register(_op, M8, _logic(_method), [(M8, M8)])


# --- memory ------------------------------------------------------------------------------------


def _element(context, builder, kind, array, index):
    data = context.make_array(kind)(context, builder, array).data
    return builder.gep(data, [index])


@intrinsic
def load(typingctx, array, index):
    """``array[index : index + 8]`` of a flat float32 array; unaligned, unchecked."""

    def emit(context, builder, sig, args):
        place = _element(context, builder, sig.args[0], args[0], args[1])
        return builder.load(builder.bitcast(place, _VEC.as_pointer()), align=4)

    return F8(array, types.intp), emit


@intrinsic
def store(typingctx, array, index, value):
    """``array[index : index + 8] = value``; unaligned, unchecked."""

    def emit(context, builder, sig, args):
        place = _element(context, builder, sig.args[0], args[0], args[1])
        builder.store(args[2], builder.bitcast(place, _VEC.as_pointer()), align=4)
        return context.get_dummy_value()

    return types.void(array, types.intp, F8), emit


@intrinsic
def prefetch(typingctx, array, index):
    """Ask for the cache line of ``array[index]`` ahead of its use; any index is harmless."""

    def emit(context, builder, sig, args):
        place = _element(context, builder, sig.args[0], args[0], args[1])
        place = builder.bitcast(place, ir.IntType(8).as_pointer())
        number = ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [place.type, number, number, number])
        fn = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        builder.call(fn, [place, number(0), number(3), number(1)])
        return context.get_dummy_value()

    return types.void(array, types.intp), emit


def _lane_indices(builder, first, last, stride, offset):
    """Flat indices of lane k's element: ``min(first + k, last) * stride + offset``."""
    kind = first.type
    for k in range(LANES):
        row = builder.add(first, ir.Constant(kind, k))
        row = builder.select(builder.icmp_signed("<", row, last), row, last)
        yield k, builder.add(builder.mul(row, stride), offset)


@intrinsic
def gather(typingctx, array, first, last, stride, offset):
    """Column ``offset`` of rows ``first .. first + 7`` of a flat ``[rows, stride]`` array.

    Rows past ``last`` repeat row ``last``: with ``scatter`` doing the same, the tail of an array
    is computed several times with equal results instead of needing a scalar copy of the kernel.
    """

    def emit(context, builder, sig, args):
        array, first, last, stride, offset = args
        out = ir.Constant(_VEC, ir.Undefined)
        for k, index in _lane_indices(builder, first, last, stride, offset):
            place = _element(context, builder, sig.args[0], array, index)
            lane = builder.load(place, align=4)
            out = builder.insert_element(out, lane, ir.IntType(32)(k))
        return out

    return F8(array, types.intp, types.intp, types.intp, types.intp), emit


@intrinsic
def scatter(typingctx, array, first, last, stride, offset, value):
    """The inverse of ``gather``."""

    def emit(context, builder, sig, args):
        array, first, last, stride, offset, value = args
        for k, index in _lane_indices(builder, first, last, stride, offset):
            place = _element(context, builder, sig.args[0], array, index)
            builder.store(builder.extract_element(value, ir.IntType(32)(k)), place, align=4)
        return context.get_dummy_value()

    sig = types.void(array, types.intp, types.intp, types.intp, types.intp, F8)
    return sig, emit


# --- values ------------------------------------------------------------------------------------


@intrinsic
def splat(typingctx, value):
    """The scalar in all eight lanes."""

    def emit(context, builder, sig, args):
        return _broadcast(builder, args[0])

    return F8(types.float32), emit


@intrinsic
def iota(typingctx):
    """``0, 1, ... 7``."""

    def emit(context, builder, sig, args):
        return ir.Constant(_VEC, [ir.Constant(ir.FloatType(), float(k)) for k in range(LANES)])

    return F8(), emit


@intrinsic
def fma(typingctx, a, b, c):
    """``a * b + c``, rounded once where the CPU can."""

    def emit(context, builder, sig, args):
        values = [_as_vector(context, builder, v, k) for v, k in zip(args, sig.args, strict=True)]
        return _call(builder, "llvm.fmuladd", values)

    return F8(a, b, c), emit


def _lanes_set(builder, mask):
    return builder.icmp_signed("<", mask, ir.Constant(_INT, None))


@intrinsic
def select(typingctx, mask, a, b):
    """``a`` where ``mask``, else ``b``."""

    def emit(context, builder, sig, args):
        a, b = (_as_vector(context, builder, args[i], sig.args[i]) for i in (1, 2))
        return builder.select(_lanes_set(builder, args[0]), a, b)

    return F8(M8, a, b), emit


@intrinsic
def keep(typingctx, mask, a):
    """``a`` where ``mask``, else 0."""

    def emit(context, builder, sig, args):
        return builder.bitcast(builder.and_(args[0], builder.bitcast(args[1], _INT)), _VEC)

    return F8(M8, F8), emit


@intrinsic
def vmin(typingctx, a, b):
    """Lane-wise minimum; ``b`` where ``a`` is NaN."""

    def emit(context, builder, sig, args):
        a, b = (_as_vector(context, builder, v, k) for v, k in zip(args, sig.args, strict=True))
        return builder.select(builder.fcmp_ordered("<", a, b), a, b)

    return F8(a, b), emit


@intrinsic
def vmax(typingctx, a, b):
    """Lane-wise maximum; ``b`` where ``a`` is NaN."""

    def emit(context, builder, sig, args):
        a, b = (_as_vector(context, builder, v, k) for v, k in zip(args, sig.args, strict=True))
        return builder.select(builder.fcmp_ordered(">", a, b), a, b)

    return F8(a, b), emit


@intrinsic
def vsqrt(typingctx, a):
    """Lane-wise square root."""

    def emit(context, builder, sig, args):
        return _call(builder, "llvm.sqrt", args)

    return F8(F8), emit


@intrinsic
def vabs(typingctx, a):
    """Lane-wise absolute value."""

    def emit(context, builder, sig, args):
        return _call(builder, "llvm.fabs", args)

    return F8(F8), emit


@intrinsic
def vceil(typingctx, a):
    """Lane-wise rounding up."""

    def emit(context, builder, sig, args):
        return _call(builder, "llvm.ceil", args)

    return F8(F8), emit


# Interpolation of 2^f at the six Chebyshev nodes of [-1/2, 1/2]; relative error 2e-7 in float32.
_EXP2 = (1.0, 0.69314719, 0.24022107, 0.055503571, 0.009676032, 0.0013390865)
_ROUNDER = 12582912.0  # 1.5 * 2^23: adding it leaves the nearest integer in the low mantissa bits


@intrinsic
def exp2(typingctx, a):
    """``2 ** a`` for ``-64 <= a <= 126`` (lower values count as -64), relative error 2e-7.

    The pip wheel of Numba has no vector maths library, so this is a polynomial on the fraction
    and an integer addition to the exponent bits. The floor keeps products of a few results out of
    the denormal range, where CPUs are slow.
    """

    def emit(context, builder, sig, args):
        floor = _constant(-64.0)
        x = builder.select(builder.fcmp_ordered(">", args[0], floor), args[0], floor)
        shifted = builder.fadd(x, _constant(_ROUNDER))
        f = builder.fsub(x, builder.fsub(shifted, _constant(_ROUNDER)))
        # Estrin's scheme: half the latency of Horner's, which is what the inner loops wait for.
        c = [_constant(value) for value in _EXP2]
        ff = builder.fmul(f, f)
        low, mid, high = (
            _call(builder, "llvm.fmuladd", [c[k + 1], f, c[k]]) for k in (0, 2, 4)
        )  # fmt: skip
        poly = _call(builder, "llvm.fmuladd", [high, ff, mid])
        poly = _call(builder, "llvm.fmuladd", [poly, ff, low])
        shift = ir.Constant(_INT, [ir.Constant(ir.IntType(32), 23)] * LANES)
        exponent = builder.shl(builder.bitcast(shifted, _INT), shift)
        return builder.bitcast(builder.add(builder.bitcast(poly, _INT), exponent), _VEC)

    return F8(F8), emit


@intrinsic
def dot3(typingctx, a0, a1, a2, b0, b1, b2):
    """``a0 b0 + a1 b1 + a2 b2``."""

    def emit(context, builder, sig, args):
        v = [_as_vector(context, builder, v, k) for v, k in zip(args, sig.args, strict=True)]
        inner = _call(builder, "llvm.fmuladd", [v[1], v[4], builder.fmul(v[2], v[5])])
        return _call(builder, "llvm.fmuladd", [v[0], v[3], inner])

    return F8(a0, a1, a2, b0, b1, b2), emit


@intrinsic
def totals(typingctx, a, b, c, d, e, f, g, h):
    """The sums of the lanes of each argument: lane 0 for ``a`` to lane 7 for ``h``."""

    def emit(context, builder, sig, args):
        def pick(u, v, lanes):
            return builder.shuffle_vector(
                u, v, ir.Constant(_INT, [ir.Constant(ir.IntType(32), k) for k in lanes])
            )

        def merge(u, v, first, second):
            return builder.fadd(pick(u, v, first), pick(u, v, second))

        evens, odds = [0, 8, 2, 10, 4, 12, 6, 14], [1, 9, 3, 11, 5, 13, 7, 15]
        pairs = [merge(args[k], args[k + 1], evens, odds) for k in (0, 2, 4, 6)]
        evens, odds = [0, 1, 8, 9, 4, 5, 12, 13], [2, 3, 10, 11, 6, 7, 14, 15]
        quads = [merge(pairs[k], pairs[k + 1], evens, odds) for k in (0, 2)]
        return merge(*quads, [0, 1, 2, 3, 8, 9, 10, 11], [4, 5, 6, 7, 12, 13, 14, 15])

    return F8(F8, F8, F8, F8, F8, F8, F8, F8), emit


@intrinsic
def count(typingctx, mask):
    """Number of lanes set."""

    def emit(context, builder, sig, args):
        bits = builder.bitcast(_lanes_set(builder, args[0]), ir.IntType(LANES))
        return builder.zext(builder.ctpop(bits), ir.IntType(64))

    return types.int64(M8), emit


@intrinsic
def some(typingctx, mask):
    """Whether any lane is set."""

    def emit(context, builder, sig, args):
        bits = builder.bitcast(_lanes_set(builder, args[0]), ir.IntType(LANES))
        return builder.icmp_unsigned("!=", bits, ir.Constant(ir.IntType(LANES), 0))

    return types.boolean(M8), emit
