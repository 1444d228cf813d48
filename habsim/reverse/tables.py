"""What of a search is worth keeping: the best launches as columns of numbers, and a map of places for each time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from habsim.reverse.flights import NO_MEMBER
from habsim.reverse.results import SearchResult

RANKED = 1000
TIMED = 50_000  # rows for all launch times together
_FEWEST_OF_A_TIME = 20

# The best that a place offers: indices of its launch time and configuration; of `members` that could be judged, 0 where
# none could, `hits` reach the zone; `score` is the sum of theirs in millionths.
PLACE = np.dtype([("time", "u2"), ("configuration", "u2"), ("members", "u2"), ("hits", "u2"), ("score", "u4")])

Indices = npt.NDArray[np.intp]
Columns = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Table:
    """Candidates, best first, as columns of one length, see `candidates`; the first `ranked` are those of all times."""

    columns: Columns
    ranked: int


def table(found: SearchResult, *, ranked: int = RANKED, timed: int = TIMED) -> Table:
    """The `ranked` best candidates, and the best `timed` / launch times of each launch time.

    Those with a hit; where fewer than `ranked` have one, all that could be judged.
    """
    some = np.flatnonzero(found.cells["hits"])
    if len(some) < ranked:
        some = np.flatnonzero(np.isfinite(found.cells["distance"]))
    order = found.best_first(some)
    of_a_time = max(timed // found.cells.shape[1], _FEWEST_OF_A_TIME)
    _, time, _ = np.unravel_index(order, found.cells.shape)
    kept = (np.arange(len(order)) < ranked) | (_place_among_equals(time) < of_a_time)
    return Table(candidates(found, order[kept]), min(ranked, len(order)))


def layer(found: SearchResult, time: int | None = None) -> npt.NDArray[np.void]:
    """The best that each place offers, of type `PLACE` (places,): at one launch time, by its index, or at any."""
    best = found.best_of_places(time)
    cells = found.cells.ravel()[best]
    places = np.empty(len(best), PLACE)
    places["configuration"], places["time"], _ = np.unravel_index(best, found.cells.shape)
    places["members"], places["hits"], places["score"] = cells["flown"], cells["hits"], cells["score"]
    return places


def candidates(found: SearchResult, cells: Indices) -> Columns:
    """What is known of flat `cells`, as columns of one length.

    `place` and `configuration` are indices, `time` and `hit_time` Unix seconds. Of `members` that could be judged
    `hits` reach the zone; `probability` and `score` as in `SearchResult`. `distance` (m from the centre of the zone),
    `hit_time`, `hit_latitude`, `hit_longitude` and `hit_altitude` are of the closest approach of all members, that of
    `member`: of the landing where landings count. That is -1, and they are not a number, for a place whose neighbours
    told that it misses.
    """
    configuration, time, place = np.unravel_index(cells, found.cells.shape)
    of = found.cells.ravel()[cells]
    longitude, latitude = found.plan.area.places[place].T
    told = of["member"] != NO_MEMBER

    def of_the_closest(values: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        return np.where(told, values.astype(np.float64), np.nan)

    return {
        "time": found.plan.mission.window.times[time],
        "place": place,
        "latitude": latitude,
        "longitude": longitude,
        "configuration": configuration,
        "probability": found.probability.ravel()[cells],
        "score": found.score.ravel()[cells],
        "members": of["flown"].astype(np.int64),
        "hits": of["hits"].astype(np.int64),
        "member": of["member"].astype(np.int64),
        "distance": of_the_closest(of["distance"]),
        "hit_time": of_the_closest(of["time"]),
        "hit_latitude": of_the_closest(of["latitude"]),
        "hit_longitude": of_the_closest((of["longitude"] + 180.0) % 360.0 - 180.0),
        "hit_altitude": of_the_closest(of["altitude"]),
    }


def _place_among_equals(values: Indices) -> Indices:
    """How many equal values come before each."""
    by_value = np.argsort(values, kind="stable")
    ordered = values[by_value]
    before = np.empty(len(values), np.intp)
    before[by_value] = np.arange(len(values)) - np.searchsorted(ordered, ordered, side="left")
    return before
