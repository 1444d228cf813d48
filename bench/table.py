"""Tables on the terminal."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One measured thing: what, how much, and how much was asked for, if anything was."""

    what: str
    measured: str
    asked: str = ""


def show(title: str, rows: Iterable[Row]) -> None:
    """Print each row as soon as it is measured."""
    print(f"\n{title}", flush=True)
    print(f"  {'':<76} {'measured':>24}   asked")
    for row in rows:
        print(f"  {row.what:<76} {row.measured:>24}   {row.asked}".rstrip(), flush=True)
