"""Mapped files that are cut while they are read.

The system answers a read behind the new end of a mapped file with SIGBUS, which kills the process. Here the page that
is gone reads as zeros instead; who watches a file looks afterwards whether it is still the one that was mapped. For
Linux on 64 bits; elsewhere nothing is watched.
"""

from __future__ import annotations

import ctypes
import mmap
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import cfunc, types
from numba.extending import intrinsic

_PLACES = 4096  # mapped files that can be watched at once
_BUS_ADRERR = 2  # the signal's code for an address behind the end of a file
_SA_SIGINFO = 4

# Start and size of each watched map. The handler reads it, so it lies in plain memory at a fixed address.
_maps = (ctypes.c_int64 * (2 * _PLACES))()
# Protects the choice of a place in `_maps`, and the installation.
_lock = threading.Lock()
_installed: list[Any] = []


class _Action(ctypes.Structure):
    """`struct sigaction` of the C library."""

    _fields_ = (
        ("handler", ctypes.c_void_p),
        ("mask", ctypes.c_ulong * 16),
        ("flags", ctypes.c_int),
        ("restorer", ctypes.c_void_p),
    )


@intrinsic
def _numbers_at(_context: Any, _address: Any) -> Any:
    """The whole numbers at an address."""

    def generate(_context: Any, builder: ir.IRBuilder, _signature: Any, arguments: Any) -> ir.Value:
        return builder.inttoptr(arguments[0], ir.IntType(64).as_pointer())

    return types.CPointer(types.int64)(types.int64), generate


def install() -> None:
    """Set the handler, once for a process and those it forks."""
    with _lock:
        if _installed or sys.platform != "linux" or sys.maxsize < 2**32:
            return
        library = ctypes.CDLL(None)
        map_page = library.mmap
        map_page.argtypes = (ctypes.c_int64, ctypes.c_int64, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_int64)
        map_page.restype = ctypes.c_int64
        reset = library.signal
        reset.argtypes = (ctypes.c_int, ctypes.c_int64)
        reset.restype = ctypes.c_int64
        handler = _compiled(map_page, reset)
        action = _Action(handler=handler.address, flags=_SA_SIGINFO)
        if library.sigaction(int(signal.SIGBUS), ctypes.byref(action), None) == 0:
            _installed.append(handler)


def _compiled(map_page: Callable[..., int], reset: Callable[..., int]) -> Any:
    """The handler as machine code: a signal leaves no room for Python."""
    maps, places, page = ctypes.addressof(_maps), _PLACES, mmap.PAGESIZE
    protection, flags = mmap.PROT_READ, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x10  # MAP_FIXED
    code, default, number = _BUS_ADRERR, int(signal.SIG_DFL), int(signal.SIGBUS)

    @cfunc(types.void(types.int32, types.CPointer(types.int64), types.intp))
    def handler(_signal, information, _context):  # type: ignore[no-untyped-def]
        # siginfo_t: the code is the low half of the second word, the address the third word.
        address = information[2]
        if information[1] & 0xFFFFFFFF == code:
            table = _numbers_at(maps)  # type: ignore[call-arg, var-annotated]
            for place in range(places):
                start = table[2 * place]
                if start <= address < start + table[2 * place + 1]:
                    map_page(address - address % page, page, protection, flags, -1, 0)
                    return
        # Not ours: back to what happens by default, which the same read now meets.
        reset(number, default)

    return handler


def watch(address: int, size: int) -> int:
    """Let vanished pages of a read-only map read as zeros. Returns the place to `forget`, -1 when none is free."""
    install()
    with _lock:
        for place in range(_PLACES):
            if _maps[2 * place + 1] == 0:
                _maps[2 * place] = address
                _maps[2 * place + 1] = size
                return place
    return -1


def forget(place: int) -> None:
    """Stop watching, before the map goes."""
    if place >= 0:
        _maps[2 * place + 1] = 0
