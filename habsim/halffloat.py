"""Compiled weighted sums of half-precision numbers in mapped memory, the innermost operation of a flight.

Four values of two bytes are widened by one vector instruction where the processor has it (every 64-bit ARM, every
x86-64 since 2012) and by exact integer arithmetic elsewhere. Addresses need no alignment.
"""

from __future__ import annotations

import platform
from collections.abc import Callable
from typing import Any

import llvmlite.binding
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

_I32 = ir.IntType(32)


def _processor_widens_halves() -> bool:
    if platform.machine().lower() in {"aarch64", "arm64"}:
        return True
    return bool(llvmlite.binding.get_host_cpu_features().get("f16c", False))


def widen(builder: ir.IRBuilder, halves: ir.Value, lanes: int, *, native: bool) -> ir.Value:
    """LLVM code that turns a vector of `lanes` 16-bit codes into single-precision numbers, all codes right."""
    floats = ir.VectorType(ir.FloatType(), lanes)
    if native:
        return builder.fpext(builder.bitcast(halves, ir.VectorType(ir.HalfType(), lanes)), floats)
    words = ir.VectorType(_I32, lanes)

    def constant(value: int) -> ir.Constant:
        return ir.Constant(words, [value] * lanes)

    bits = builder.zext(halves, words)
    # Moved to the single-precision position, exponent and mantissa are 2^-112 times the number.
    magnitude = builder.shl(builder.and_(bits, constant(0x7FFF)), constant(13))
    scaled = builder.fmul(builder.bitcast(magnitude, floats), ir.Constant(floats, [2.0**112] * lanes))
    finite = builder.icmp_unsigned("<", builder.and_(bits, constant(0x7FFF)), constant(0x7C00))
    special = builder.or_(magnitude, constant(0x7F800000))
    value = builder.select(finite, builder.bitcast(scaled, words), special)
    sign = builder.shl(builder.and_(bits, constant(0x8000)), constant(16))
    return builder.bitcast(builder.or_(value, sign), floats)


def _splat(builder: ir.IRBuilder, scalar: ir.Value, lanes: int) -> ir.Value:
    vector = ir.Constant(ir.VectorType(ir.FloatType(), lanes), ir.Undefined)
    vector = builder.insert_element(vector, scalar, ir.Constant(_I32, 0))
    return builder.shuffle_vector(vector, vector, ir.Constant(ir.VectorType(_I32, lanes), [0] * lanes))


def weighted_sum(lanes: int, terms: int, *, native: bool | None = None) -> Callable[..., tuple[float, ...]]:
    """A compiled function f(base, offsets, weights) -> `lanes` sums over `terms` runs of `lanes` halves.

    `base` is an address, `offsets` a tuple of `terms` byte offsets, `weights` a tuple of `terms` float32. Sum `i` is
    that of weights[n] * half at base + offsets[n] + 2 * i.
    """
    use_native = _processor_widens_halves() if native is None else native
    halves = ir.VectorType(ir.IntType(16), lanes)
    floats = ir.VectorType(ir.FloatType(), lanes)

    def typed(_context: Any, base: Any, offsets: Any, weights: Any) -> Any:
        signature = types.UniTuple(types.float32, lanes)(
            types.intp, types.UniTuple(types.intp, terms), types.UniTuple(types.float32, terms)
        )
        return signature, generate

    def generate(_context: Any, builder: ir.IRBuilder, _signature: Any, arguments: Any) -> ir.Value:
        base, offsets, weights = arguments
        total = ir.Constant(floats, [0.0] * lanes)
        for term in range(terms):
            address = builder.add(base, builder.extract_value(offsets, term))
            codes = builder.load(builder.inttoptr(address, halves.as_pointer()))
            codes.align = 1
            values = widen(builder, codes, lanes, native=use_native)
            weight = _splat(builder, builder.extract_value(weights, term), lanes)
            product = builder.fmul(values, weight, flags=("contract",))
            total = builder.fadd(total, product, flags=("contract",))
        lane = [builder.extract_element(total, ir.Constant(_I32, i)) for i in range(lanes)]
        return cgutils.pack_array(builder, lane)

    function: Callable[..., tuple[float, ...]] = intrinsic(typed)
    return function
