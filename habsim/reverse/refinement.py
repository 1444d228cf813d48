"""Which places of a search need a flight: coarse cells first, their ninths where a hit is not ruled out.

Two balloons launched r apart at the same time are at most r exp(g T) apart after T seconds in winds whose gradient is
at most g (Gronwall, T. H., 1919: Note on the derivatives with respect to a parameter of the solutions of a system of
differential equations, Annals of Mathematics 20). So are their closest approaches to a point, whichever times count. A
cell is left out when the flight from its middle misses the zone by more than that for its outermost place.

Which altitudes count is not asked here: of two neighbours over uneven ground one may get below the highest altitude of
the zone and the other not. The closest approach at any altitude is a lower bound of that within the zone, so a cell
that it rules out has no hit at its altitudes either.

What can be missed: a hit among flights whose winds change more over a cell than `GRADIENT`, and more than `MARGIN`
times what the flights from neighbouring cells show: a shear line narrower than a coarse cell, or a mountain that
stands in the way of few flights only. A cell whose flight says nothing is divided.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

GRADIENT = 4e-5  # 1/s: the shear of a strong jet, 40 m/s in 1000 km; a front has more, in a layer soon passed
MARGIN = 1.5  # on the stretching that neighbouring flights show
_PARTS = 3  # of a cell along each axis: the middle of a cell is then the middle of one of its parts
_COARSE_CELLS = 3  # along an axis at least, so that there are neighbours to compare

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Indices = npt.NDArray[np.intp]

# Flies the chosen flights (times, places) and returns for all flown so far, same shape, how close to the zone's centre
# each came, m: infinite where no flight of that launch time can hit, not a number where it says nothing of others.
Fly = Callable[[Bools], Floats]


@dataclass(frozen=True)
class Level:
    """m square cells that hold p places.

    `cell_of` (p,) the cell of each place, `middle` (m,) the place next to the middle of each cell, `reach` (m,) m from
    there to its outermost place, `neighbours` (k, 2) pairs of cells side by side, `apart` (k,) m between their middles.
    """

    cell_of: Indices
    middle: Indices
    reach: Floats
    neighbours: Indices
    apart: Floats


def levels(points: npt.NDArray[np.int64], spacing: float) -> list[Level]:
    """Cells of places `points` (p, 2), whole multiples of `spacing` m, from the coarsest to single places."""
    widest = int(np.ptp(points, axis=0).max()) + 1
    sizes = [1]
    while sizes[-1] * _PARTS * _COARSE_CELLS <= widest:
        sizes.append(sizes[-1] * _PARTS)
    return [_level(points, spacing, size) for size in reversed(sizes)]


def _level(points: npt.NDArray[np.int64], spacing: float, size: int) -> Level:
    # Cells of all sizes have a place of (0, 0) modulo the coarsest size in their middle.
    at = (points + size // 2) // size
    found, cell_of = np.unique(at, axis=0, return_inverse=True)
    cell_of = cell_of.reshape(-1)
    offset = np.hypot(*(points - size * at).T)
    order = np.lexsort((offset, cell_of))
    middle = order[np.searchsorted(cell_of[order], np.arange(len(found)))]
    reach = np.zeros(len(found))
    np.maximum.at(reach, cell_of, spacing * np.hypot(*(points - points[middle][cell_of]).T))
    index = {(int(column), int(row)): cell for cell, (column, row) in enumerate(found)}
    pairs = [
        (cell, index[beside])
        for (column, row), cell in index.items()
        for beside in ((column + 1, row), (column, row + 1))
        if beside in index
    ]
    neighbours = np.array(pairs, np.intp).reshape(-1, 2)
    apart = spacing * np.hypot(*(points[middle[neighbours[:, 0]]] - points[middle[neighbours[:, 1]]]).T)
    return Level(cell_of, middle, reach, neighbours, apart)


def fly_refined(cells: list[Level], times: int, radius: float, seconds: float, fly: Fly) -> Indices:
    """Fly what may come within `radius` m of the centre of the zone, for each of `times` launch times by itself.

    `seconds` is how long a flight lasts. Returns (times, places): the place whose flight tells about each place, which
    is the place itself where it was flown.
    """
    places = len(cells[0].cell_of)
    flown = np.zeros((times, places), np.bool_)
    teller = np.broadcast_to(np.arange(places), (times, places)).copy()
    active = np.ones((times, len(cells[0].middle)), np.bool_)
    floor = math.exp(min(GRADIENT * seconds, 50.0))
    for level, finer in zip(cells, [*cells[1:], None], strict=True):
        chosen = np.zeros_like(flown)
        chosen[:, level.middle] = active
        distance = fly(chosen & ~flown)
        flown |= chosen
        told = active[:, level.cell_of] & ~flown
        teller[told] = np.broadcast_to(level.middle[level.cell_of], told.shape)[told]
        if finer is None:
            break
        distance = distance[:, level.middle]
        stretch = np.maximum(floor, MARGIN * _steepest(level, distance, active & np.isfinite(distance)))
        ruled_out = distance - stretch[:, None] * level.reach > radius
        active = (active & ~ruled_out)[:, level.cell_of[finer.middle]]
    teller[flown] = np.broadcast_to(np.arange(places), flown.shape)[flown]
    return teller


def _steepest(level: Level, distance: Floats, known: Bools) -> Floats:
    """The largest difference of `distance` (times, cells) between neighbours for each metre between them, (times,)."""
    first, second = level.neighbours.T
    both = known[:, first] & known[:, second]
    difference = np.zeros(both.shape)
    np.subtract(distance[:, first], distance[:, second], out=difference, where=both)
    steepest: Floats = (np.abs(difference) / level.apart).max(axis=1, initial=0.0)
    return steepest
