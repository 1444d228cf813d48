"""Reverse planning: from where, when and with what must a balloon start to reach a zone?

A search flies every place of a grid at every launch time with every configuration through every member, and tells
which flights pass through the zone, land in it, or are in it at a time. It is cut into chunks that know all they need,
so that they can run anywhere and in any order, and so that finished ones can be kept:

    results = fly_chunks(simulators, chunks(plan, members), cancelled=..., threads=2)
    found = combine(plan, members, results)
"""

from habsim.reverse.flights import ChunkResult, fly_chunk, score
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
)
from habsim.reverse.results import Candidate, LaunchTime, Lost, SearchResult, combine
from habsim.reverse.search import fly_chunks, search
from habsim.reverse.tables import Table, table

__all__ = [
    "MAX_FLIGHTS",
    "STEP_SECONDS",
    "Candidate",
    "Chunk",
    "ChunkResult",
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
    "chunks",
    "combine",
    "estimate",
    "fly_chunk",
    "fly_chunks",
    "score",
    "search",
    "table",
]
