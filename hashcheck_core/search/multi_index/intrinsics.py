"""Instructions that numba does not offer: loads and stores at an address, prefetch, popcounts of whole vectors.

Kernels work on addresses (int64) rather than arrays: numba then emits no reference counting and no arithmetic for
negative indexes in the hot loops (an atomic increment for each row cost 20 ns in the flat scan). Nothing here
checks a bound: `engine` and `tables` own the arrays and have checked their shapes.
"""

from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

I8, I16, I32, I64 = (ir.IntType(bits) for bits in (8, 16, 32, 64))


def _load(bits: int, result: Any) -> Any:
    @intrinsic  # type: ignore[untyped-decorator]
    def load(typingctx: Any, address: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            value = builder.load(builder.inttoptr(args[0], ir.IntType(bits).as_pointer()))
            value.align = 1
            return builder.zext(value, I64) if bits < 64 else value

        return result(types.int64), codegen

    return load


def _store(bits: int, argument: Any) -> Any:
    @intrinsic  # type: ignore[untyped-decorator]
    def store(typingctx: Any, address: Any, value: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            cut = builder.trunc(args[1], ir.IntType(bits)) if bits < 64 else args[1]
            stored = builder.store(cut, builder.inttoptr(args[0], ir.IntType(bits).as_pointer()))
            stored.align = 1
            return context.get_dummy_value()

        return types.void(types.int64, argument), codegen

    return store


# Unaligned little-endian loads, zero-extended; `load64` is signed, `load64u` is not.
load8, load16, load32, load64 = (_load(bits, types.int64) for bits in (8, 16, 32, 64))
load64u = _load(64, types.uint64)
store8, store16, store32, store64 = (_store(bits, types.int64) for bits in (8, 16, 32, 64))
store64u = _store(64, types.uint64)


@intrinsic  # type: ignore[untyped-decorator]
def prefetch(typingctx: Any, address: Any) -> Any:
    """Ask for the cache line at an address; never faults."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind = ir.FunctionType(ir.VoidType(), [I8.as_pointer(), I32, I32, I32])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        builder.call(function, [builder.inttoptr(args[0], I8.as_pointer()), I32(0), I32(3), I32(1)])
        return context.get_dummy_value()

    return types.void(types.int64), codegen


def _of_word(name: str, extra: Sequence[Any] = ()) -> Any:
    @intrinsic  # type: ignore[untyped-decorator]
    def operation(typingctx: Any, word: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            kind = ir.FunctionType(I64, [I64] + [value.type for value in extra])
            return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), [args[0], *extra])

        return types.int64(types.uint64), codegen

    return operation


popcount = _of_word("llvm.ctpop.i64")
trailing_zeros = _of_word("llvm.cttz.i64", (ir.Constant(ir.IntType(1), 0),))


def _broadcast(builder: Any, kind: Any, scalar: Any) -> Any:
    undefined = ir.Constant(kind, ir.Undefined)
    first = builder.insert_element(undefined, scalar, I32(0))
    zeros = ir.Constant(ir.VectorType(I32, kind.count), [0] * kind.count)
    return builder.shuffle_vector(first, undefined, zeros)


@intrinsic  # type: ignore[untyped-decorator]
def near_signatures(typingctx: Any, address: Any, query: Any, mask: Any, most: Any) -> Any:
    """Of the 32 uint16 at `address` bit k of the result: popcount((value[k] ^ query) & mask) <= most."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind = ir.VectorType(I16, 32)
        query_v, mask_v, most_v = (_broadcast(builder, kind, builder.trunc(a, I16)) for a in args[1:])
        values = builder.load(builder.inttoptr(args[0], kind.as_pointer()))
        values.align = 2
        count = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(kind, [kind]), "llvm.ctpop.v32i16"
        )
        apart = builder.call(count, [builder.and_(builder.xor(values, query_v), mask_v)])
        return builder.zext(builder.bitcast(builder.icmp_unsigned("<=", apart, most_v), I32), I64)

    return types.uint64(types.int64, types.int64, types.int64, types.int64), codegen


def _near_rows(words: int) -> Callable[..., Any]:
    """For rows of 1, 2, 4 or 8 words: the distances of the 8 rows at `address` to the row at `query`, stored as
    8 int64 at `out`; bit k of the result: that of row k is <= most."""

    @intrinsic  # type: ignore[untyped-decorator]
    def near(typingctx: Any, address: Any, query: Any, most: Any, out: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            kind, shuffle = ir.VectorType(I64, 8), ir.VectorType(I32, 8)
            query_kind = ir.VectorType(I64, words)
            count = cgutils.get_or_insert_function(
                builder.module, ir.FunctionType(kind, [kind]), "llvm.ctpop.v8i64"
            )
            row = builder.load(builder.inttoptr(args[1], query_kind.as_pointer()))
            row.align = 1
            repeat = ir.Constant(shuffle, [lane % words for lane in range(8)])
            query_v = builder.shuffle_vector(row, ir.Constant(query_kind, ir.Undefined), repeat)
            parts = []  # (vector of word distances, the row each lane belongs to)
            for part in range(words):
                place = builder.add(args[0], I64(64 * part))
                values = builder.load(builder.inttoptr(place, kind.as_pointer()))
                values.align = 1
                apart = builder.call(count, [builder.xor(values, query_v)])
                parts.append((apart, [(8 * part + lane) // words for lane in range(8)]))
            step = 1
            while len(parts) > 1:  # add lanes pair by pair until one vector holds the 8 sums
                low = [i - i % (2 * step) + i % step + (8 if i % (2 * step) >= step else 0) for i in range(8)]
                low_v = ir.Constant(shuffle, low)
                high_v = ir.Constant(shuffle, [i + step for i in low])
                parts = [
                    (
                        builder.add(
                            builder.shuffle_vector(a, b, low_v), builder.shuffle_vector(a, b, high_v)
                        ),
                        [(rows_a + rows_b)[i] for i in low],
                    )
                    for (a, rows_a), (b, rows_b) in zip(parts[::2], parts[1::2], strict=True)
                ]
                step *= 2
            sums, rows = parts[0]
            in_order = ir.Constant(shuffle, [rows.index(i) for i in range(8)])
            sums = builder.shuffle_vector(sums, ir.Constant(kind, ir.Undefined), in_order)
            stored = builder.store(sums, builder.inttoptr(args[3], kind.as_pointer()))
            stored.align = 1
            within = builder.icmp_unsigned("<=", sums, _broadcast(builder, kind, args[2]))
            return builder.zext(builder.bitcast(within, I8), I64)

        return types.uint64(types.int64, types.int64, types.int64, types.int64), codegen

    function: Callable[..., Any] = near
    return function


near_rows_1, near_rows_2, near_rows_4, near_rows_8 = (_near_rows(words) for words in (1, 2, 4, 8))
