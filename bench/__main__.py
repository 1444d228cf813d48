"""Run the benchmarks: `python -m bench [NAME...]`, all of them by default."""

from __future__ import annotations

import argparse
import sqlite3  # noqa: F401  (before eccodes, which brings an old SQLite along that would take its place)
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from bench import accuracy, dataplane, flights, ingest, machine, missions, page, reverse, service
from bench.table import Row, show
from settings import Settings

# Service first: the flights then keep this process on one core.
TABLES: dict[str, tuple[str, Callable[[Path], Iterator[Row]]]] = {
    "machine": ("Machine", lambda _: machine.rows()),
    "accuracy": ("Accuracy: distance between landings", lambda _: accuracy.rows()),
    "service": ("Service: gunicorn with 2 workers, the client on the same machine", service.rows),
    "missions": ("Accounts, jobs and history: gunicorn with 2 workers and SQLite, the client as well", missions.rows),
    "page": ("Map page: headless Chromium, drawn in software, on the same machine", page.rows),
    "dataplane": (
        f"Data plane: a store behind {dataplane.LATENCY_MS} ms and {dataplane.MEGABYTES_PER_SECOND} MB/s",
        dataplane.rows,
    ),
    "ingest": ("Ingest: from NOAA's messages to wind files", ingest.rows),
    "reverse": (f"Reverse planning: classic files, {reverse.CORES} cores, 100 km", reverse.rows),
    "flights": ("Flights: one core, in process", flights.rows),
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which tables: {', '.join(TABLES)}; default: all")
    names = parser.parse_args().names or list(TABLES)
    unknown = [name for name in names if name not in TABLES]
    if unknown:
        parser.error(f"there is no table {unknown[0]!r}; there are {', '.join(TABLES)}")
    data_dir = Settings().data_dir.resolve()
    for name, (title, rows) in TABLES.items():
        if name in names:
            show(title, rows(data_dir))
    return 0


if __name__ == "__main__":
    sys.exit(main())
