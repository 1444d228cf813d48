"""Reverse planning: from where, when and with what must a balloon start to reach a zone?

A search flies every place of a grid at every launch time with every configuration through every member, and tells
which flights pass through the zone, land in it, or are in it at a time. It is cut into chunks that know all they need,
so that they can run anywhere and in any order, and so that finished ones can be kept:

    results = (fly_chunk(simulators, chunk) for chunk in chunks(plan, members))
    found = combine(plan, members, results)
    best = table(found)
"""

from habsim.reverse.flights import SCORE_UNIT, ChunkResult, fly_chunk, score
from habsim.reverse.plan import (
    MAX_FLIGHTS,
    STEP_SECONDS,
    Chunk,
    Configuration,
    Estimate,
    LaunchWindow,
    Plan,
    SearchArea,
    Target,
    TargetWindow,
    TimeWindow,
    chunks,
    estimate,
    starts_inside,
)
from habsim.reverse.results import LaunchTime, Lost, SearchResult, combine
from habsim.reverse.tables import PLACE, Columns, Table, candidates, layer, table

__all__ = [
    "MAX_FLIGHTS",
    "PLACE",
    "SCORE_UNIT",
    "STEP_SECONDS",
    "Chunk",
    "ChunkResult",
    "Columns",
    "Configuration",
    "Estimate",
    "LaunchTime",
    "LaunchWindow",
    "Lost",
    "Plan",
    "SearchArea",
    "SearchResult",
    "Table",
    "Target",
    "TargetWindow",
    "TimeWindow",
    "candidates",
    "chunks",
    "combine",
    "estimate",
    "fly_chunk",
    "layer",
    "score",
    "starts_inside",
    "table",
]
