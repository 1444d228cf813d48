"""The part of a search that is worth keeping, as columns of numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from habsim.reverse.flights import NO_MEMBER
from habsim.reverse.results import MAPPED, SearchResult

RANKED = 1000
TIMED = 50_000  # rows for all launch times together
_FEWEST_OF_A_TIME = 20

Indices = npt.NDArray[np.intp]


@dataclass(frozen=True)
class Table:
    """Candidates, best first, as columns of one length named as the fields of `Candidate`.

    `place` and `configuration` are indices. `member` is -1, and what is of the closest approach not a number, for a
    place whose neighbours told that it misses. The first `ranked` rows are the best of the whole search.
    """

    columns: dict[str, npt.NDArray[Any]]
    ranked: int


def table(found: SearchResult, *, ranked: int = RANKED, timed: int = TIMED, mapped: int = MAPPED) -> Table:
    """The `ranked` best candidates, the best `timed` / launch times of each launch time, and the best of each place.

    Of places the best `mapped` at most.
    """
    some = np.flatnonzero(found.cells["hits"])
    if len(some) < ranked:
        some = np.flatnonzero(np.isfinite(found.cells["distance"]))
    order = found.best_first(some)
    of_a_time = max(timed // found.cells.shape[1], _FEWEST_OF_A_TIME)
    _, time, _ = np.unravel_index(order, found.cells.shape)
    kept = (np.arange(len(order)) < ranked) | (_place_among_equals(time) < of_a_time)
    places = found.best_of_places()[:mapped]
    kept |= np.isin(order, places)
    rows = np.concatenate([order[kept], places[~np.isin(places, order)]])
    return Table(_columns(found, rows), min(ranked, len(order)))


def _place_among_equals(values: Indices) -> Indices:
    """How many equal values come before each."""
    by_value = np.argsort(values, kind="stable")
    ordered = values[by_value]
    before = np.empty(len(values), np.intp)
    before[by_value] = np.arange(len(values)) - np.searchsorted(ordered, ordered, side="left")
    return before


def _columns(found: SearchResult, rows: Indices) -> dict[str, npt.NDArray[Any]]:
    configuration, time, place = np.unravel_index(rows, found.cells.shape)
    cells = found.cells.ravel()[rows]
    longitude, latitude = found.plan.area.places[place].T
    told = cells["member"] != NO_MEMBER

    def of_the_closest(values: npt.NDArray[Any], decimals: int) -> npt.NDArray[np.float64]:
        return np.where(told, np.round(values.astype(np.float64), decimals), np.nan)

    return {
        "time": found.plan.mission.window.times[time],
        "place": place,
        "latitude": np.round(latitude, 6),
        "longitude": np.round(longitude, 6),
        "configuration": configuration,
        "probability": np.round(found.probability.ravel()[rows], 6),
        "score": np.round(found.score.ravel()[rows], 6),
        "members": cells["flown"].astype(np.int64),
        "hits": cells["hits"].astype(np.int64),
        "member": cells["member"].astype(np.int64),
        "distance": of_the_closest(cells["distance"], 1),
        "hit_time": of_the_closest(cells["time"], 0),
        "hit_latitude": of_the_closest(cells["latitude"], 6),
        "hit_longitude": of_the_closest((cells["longitude"] + 180.0) % 360.0 - 180.0, 6),
        "hit_altitude": of_the_closest(cells["altitude"], 1),
    }
