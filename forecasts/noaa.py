"""What NOAA has of a GEFS cycle, and which bytes of it make a wind file: products, sources, inventories, spans.

A cycle has two files for each member and step, `pgrb2a` and `pgrb2b`, each with an inventory (`.idx`) beside it that
says at which byte each message begins. Nothing here reads or writes; `httpfiles` does.
"""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from habsim.errors import InventoryError, SourceError

WINDS = ("UGRD", "VGRD")
HEIGHT = "HGT"
MAX_MEMBER = 30
# Levels with wind of the two kinds of 0.5-degree files, hPa. The height at 400 hPa is in pgrb2b.
LEVELS_A = (10, 50, 100, 200, 250, 300, 400, 500, 700, 850, 925, 1000)
LEVELS_B = (1, 2, 3, 5, 7, 20, 30, 70, 150, 350, 450, 550, 600, 650, 750, 800, 900, 950, 975)
_LEVEL = re.compile(r"(\d+(?:\.\d+)?) mb")
_STEP = re.compile(r"(\d+) hour fcst")
_LINE_FIELDS = 7  # number, first byte, run, variable, level, time, member
_NAMED = 5  # fields named in a message

Wanted = tuple[str, float]  # variable, level in hPa


@dataclass(frozen=True)
class Product:
    """What of a member becomes its wind file.

    `levels` ascending hPa, `steps_hours` at equal intervals from 0. `rows` and `columns` are those of the grid of the
    source; every `stride`-th point of it is taken.
    """

    name: str
    kinds: tuple[str, ...]
    levels: tuple[float, ...]
    steps_hours: tuple[int, ...]
    has_height: bool
    stride: int
    rows: int = 361
    columns: int = 720

    @property
    def wanted(self) -> tuple[Wanted, ...]:
        """Every field of a step."""
        variables = (*WINDS, HEIGHT) if self.has_height else WINDS
        return tuple((variable, level) for level in self.levels for variable in variables)

    @property
    def interval_seconds(self) -> int:
        return (self.steps_hours[1] - self.steps_hours[0]) * 3600

    @property
    def shape(self) -> tuple[int, int, int, int, int]:
        """Of the wind file's winds: (lat, lon, level, time, 2)."""
        rows, columns = (self.rows - 1) // self.stride + 1, self.columns // self.stride + 1
        return rows, columns, len(self.levels), len(self.steps_hours), 2

    def until(self, hours: int) -> Product:
        """The product up to the step of `hours`. Raises SourceError when fewer than two steps are left."""
        steps = tuple(step for step in self.steps_hours if step <= hours)
        if len(steps) < 2:
            raise SourceError(f"{hours} hours are too short, {self.name} needs at least {self.steps_hours[1]}")
        return dataclasses.replace(self, steps_hours=steps)


CLASSIC = Product("classic", ("pgrb2b",), LEVELS_B, tuple(range(0, 385, 6)), has_height=False, stride=2)
FULL = Product(
    "full",
    ("pgrb2a", "pgrb2b"),
    tuple(sorted((*LEVELS_A, *LEVELS_B))),
    tuple(range(0, 193, 3)),
    has_height=True,
    stride=1,
)
PRODUCTS = {product.name: product for product in (CLASSIC, FULL)}


@dataclass(frozen=True)
class Source:
    """A server of GEFS files, and how it wants to be asked.

    Messages that are at most `gap_bytes` apart are fetched in one request; `requests_per_minute` 0 is no limit.
    """

    name: str
    base: str
    connections: int
    gap_bytes: int
    requests_per_minute: int = 0

    def address(self, cycle: str, member: int, step_hours: int, kind: str) -> str:
        """The address of a file; its inventory is there with `.idx` at the end."""
        run = "gec00" if member == 0 else f"gep{member:02d}"
        hour = cycle[8:]
        name = f"{run}.t{hour}z.{kind}.0p50.f{step_hours:03d}"
        return f"{self.base}/gefs.{cycle[:8]}/{hour}/atmos/{kind}p5/{name}"


SOURCES = {
    source.name: source
    for source in (
        Source("aws", "https://noaa-gefs-pds.s3.amazonaws.com", connections=16, gap_bytes=64 << 10),
        # It blocks who asks more than 120 times a minute (NWS Service Change Notice 21-32), so fewer, longer ranges.
        Source(
            "nomads",
            "https://nomads.ncep.noaa.gov/pub/data/nccf/com/gens/prod",
            connections=3,
            gap_bytes=2 << 20,
            requests_per_minute=100,
        ),
    )
}


def source_named(name: str, base: str | None = None) -> Source:
    """The source `name`, at another address where `base` gives one. Raises SourceError when there is none."""
    if name not in SOURCES:
        raise SourceError(f"there is no source {name!r}; there are {', '.join(SOURCES)}")
    source = SOURCES[name]
    return dataclasses.replace(source, base=base.rstrip("/")) if base else source


@dataclass(frozen=True)
class Entry:
    """One line of an inventory; `end` is the byte after its message. `level` hPa, None for any other surface.

    `step_hours` is None for what is not of one moment.
    """

    variable: str
    level: float | None
    step_hours: int | None
    run: str
    start: int
    end: int


def parse_inventory(text: str, size: int) -> list[Entry]:
    """The entries of an inventory of a file of `size` bytes.

    Raises InventoryError when it is damaged or cannot be of a file of that size.
    """
    rows: list[tuple[int, list[str]]] = []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split(":")
        # A message of several fields has several lines, numbered 7.1, 7.2, with the same first byte.
        if len(words) < _LINE_FIELDS or not words[1].isdecimal() or not re.fullmatch(r"d=\d{10}", words[2]):
            raise InventoryError(f"the inventory is damaged: line {number} is {line[:80]!r}")
        rows.append((int(words[1]), words))
    if not rows or not text.endswith("\n"):
        raise InventoryError("the inventory is cut off")
    starts = [start for start, _ in rows]
    if starts != sorted(starts) or starts[0] != 0:
        raise InventoryError("the inventory is damaged: its messages are not one after another")
    if starts[-1] >= size:
        raise InventoryError(f"the inventory does not fit its file: byte {starts[-1]} of {size}")
    ends = dict(itertools.pairwise(sorted({*starts, size})))
    return [_entry(words, start, ends[start]) for start, words in rows]


def _entry(words: list[str], start: int, end: int) -> Entry:
    level, step = _LEVEL.fullmatch(words[4]), _STEP.fullmatch(words[5])
    return Entry(
        variable=words[3],
        level=float(level[1]) if level else None,
        step_hours=0 if words[5] == "anl" else int(step[1]) if step else None,
        run=words[2][2:],
        start=start,
        end=end,
    )


@dataclass(frozen=True)
class Piece:
    """A message to fetch: its bytes `start` to `end` in a file, and the fields that are taken from it."""

    start: int
    end: int
    wanted: tuple[Wanted, ...]


def choose(
    product: Product, inventories: Mapping[str, Sequence[Entry]], cycle: str, step_hours: int
) -> dict[str, list[Piece]]:
    """The messages by kind of file that have each field of a step of `product` once.

    Raises InventoryError when a field is in no inventory, or when an inventory is of another run or step.
    """
    found: dict[Wanted, tuple[str, int, int]] = {}
    needed = set(product.wanted)
    for kind, entries in inventories.items():
        for entry in entries:
            if entry.run != cycle:
                raise InventoryError(f"the {kind} inventory is of run {entry.run}, not {cycle}")
            if entry.level is None or (field := (entry.variable, entry.level)) not in needed:
                continue
            if entry.step_hours == step_hours:
                found.setdefault(field, (kind, entry.start, entry.end))
    absent = [f"{variable} at {level:g} hPa" for variable, level in product.wanted if (variable, level) not in found]
    if absent:
        rest = f" and {len(absent) - _NAMED} more" if len(absent) > _NAMED else ""
        raise InventoryError(f"{len(absent)} fields are in no inventory: {', '.join(absent[:_NAMED])}{rest}")
    return {
        kind: [
            Piece(start, end, tuple(field for field, place in found.items() if place == (kind, start, end)))
            for start, end in sorted({(start, end) for other, start, end in found.values() if other == kind})
        ]
        for kind in inventories
    }


@dataclass(frozen=True)
class Span:
    """Bytes `start` to `end` of a file that are fetched in one request, with the pieces that lie in them."""

    start: int
    end: int
    pieces: tuple[Piece, ...]

    @property
    def length(self) -> int:
        return self.end - self.start


def merge(pieces: Iterable[Piece], gap_bytes: int) -> list[Span]:
    """Spans that hold all `pieces`; neighbours at most `gap_bytes` apart share one."""
    spans: list[Span] = []
    for piece in sorted(pieces, key=lambda piece: piece.start):
        if spans and piece.start - spans[-1].end <= gap_bytes:
            last = spans.pop()
            spans.append(Span(last.start, max(last.end, piece.end), (*last.pieces, piece)))
        else:
            spans.append(Span(piece.start, piece.end, (piece,)))
    return spans
