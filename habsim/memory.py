"""Single numbers in plain memory for compiled code.

A tuple with a few more arrays makes each call that takes it twice as slow; addresses cost nothing.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic


def _load(kind: Any, bits: int) -> Any:
    def typed(_context: Any, _address: Any) -> Any:
        def generate(_context: Any, builder: ir.IRBuilder, _signature: Any, arguments: Any) -> ir.Value:
            return builder.load(builder.inttoptr(arguments[0], ir.IntType(bits).as_pointer()))

        return kind(types.intp), generate

    return intrinsic(typed)


def _store(kind: Any, bits: int) -> Any:
    def typed(_context: Any, _address: Any, _value: Any) -> Any:
        def generate(context: Any, builder: ir.IRBuilder, _signature: Any, arguments: Any) -> ir.Value:
            builder.store(arguments[1], builder.inttoptr(arguments[0], ir.IntType(bits).as_pointer()))
            return context.get_dummy_value()

        return types.void(types.intp, kind), generate

    return intrinsic(typed)


byte_at = _load(types.uint8, 8)
set_byte = _store(types.uint8, 8)
whole_at = _load(types.int64, 64)
set_whole = _store(types.int64, 64)
