"""Whole searches, and the best of what they find by name."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np

from habsim.classes import Simulator
from habsim.reverse import Plan, SearchResult, candidates, chunks, combine, fly_chunk, table


def search(plan: Plan, simulators: Mapping[int, Simulator]) -> SearchResult:
    members = sorted(simulators)
    return combine(plan, members, [fly_chunk(simulators, chunk) for chunk in chunks(plan, members)])


def ranked(found: SearchResult, limit: int = 100) -> list[Any]:
    """The best rows of the table."""
    rows = table(found, ranked=limit)
    return named(found, {name: column[: rows.ranked] for name, column in rows.columns.items()})


def best_at(found: SearchResult) -> list[Any]:
    """The best of each launch time."""
    return named(found, candidates(found, np.array([each.best for each in found.launch_times()], np.intp)))


def named(found: SearchResult, columns: Mapping[str, Any]) -> list[Any]:
    rows = zip(*(column.tolist() for column in columns.values()), strict=True)
    names = [configuration.name for configuration in found.plan.configurations]
    records = [dict(zip(columns, row, strict=True)) for row in rows]
    return [SimpleNamespace(**{**each, "configuration": names[each["configuration"]]}) for each in records]
