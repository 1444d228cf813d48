"""Single numbers in plain memory for compiled code.

A tuple with a few more arrays makes each call that takes it twice as slow; addresses cost nothing.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic


def _load(kind: Any, stored: ir.Type) -> Any:
    def typed(_context: Any, _address: Any) -> Any:
        def generate(_context: Any, builder: ir.IRBuilder, _signature: Any, arguments: Any) -> ir.Value:
            return builder.load(builder.inttoptr(arguments[0], stored.as_pointer()))

        return kind(types.intp), generate

    return intrinsic(typed)


def _store(kind: Any, stored: ir.Type) -> Any:
    def typed(_context: Any, _address: Any, _value: Any) -> Any:
        def generate(context: Any, builder: ir.IRBuilder, _signature: Any, arguments: Any) -> ir.Value:
            builder.store(arguments[1], builder.inttoptr(arguments[0], stored.as_pointer()))
            return context.get_dummy_value()

        return types.void(types.intp, kind), generate

    return intrinsic(typed)


_BYTE, _WHOLE = ir.IntType(8), ir.IntType(64)

byte_at = _load(types.uint8, _BYTE)
set_byte = _store(types.uint8, _BYTE)
whole_at = _load(types.int64, _WHOLE)
set_whole = _store(types.int64, _WHOLE)
real_at = _load(types.float64, ir.DoubleType())
