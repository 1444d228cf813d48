"""A GEFS cycle from NOAA into a bucket: which cycle is complete, each step fetched and decoded, each member published.

What is finished stays on disk in the work folder: step files of the members under way, and members in the bucket. A run
that was killed goes on there.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import hashlib
import itertools
import logging
import multiprocessing
import multiprocessing.connection
import os
import re
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import sharedfiles
from forecasts import assembly, grib, noaa
from forecasts.assembly import Found, StepJob
from forecasts.httpfiles import HttpFiles, RemoteFile
from forecasts.noaa import Entry, Product, Source, Span
from habsim.errors import ConversionError, InventoryError, NotFoundError, SourceChangedError, WindFileError
from store.bucket import CURRENT, Bucket
from store.manifest import DEMO, cycle_at, cycle_start, read_manifest, wind_file_name
from store.publish import Publication, remove_cycle
from windfile import WindFile

log = logging.getLogger(__name__)

CONVERTER = "habsim NOAA ingest 1"  # the number rises when the same input gives another wind file
_STEP_ATTEMPTS = 4  # with a fresh inventory each
_STEPS_AHEAD = 2  # that are fetched while others are decoded; each has its messages, 20 MB, on disk
_CYCLE_SECONDS = 21600
_CYCLES_BACK = 8  # NOAA keeps more, but an older forecast is of no use
_OF_A_CYCLE = re.compile(r"(\d{10})_\d\d\.(npz|json)")
_WORTH_ANOTHER_TRY = (ConversionError, InventoryError, SourceChangedError)


@dataclass(frozen=True)
class Order:
    """What is asked for: a cycle `YYYYMMDDHH`, members, product."""

    cycle: str
    members: tuple[int, ...]
    product: Product


@dataclass(frozen=True)
class StepDone:
    """A step of a member that is on disk; `fetched_bytes` is 0 when it was there before."""

    member: int
    step_hours: int
    fetched_bytes: int
    messages: int
    seconds: float


class Decoders:
    """Processes that decode steps. When one dies, which damaged data can do to eccodes, all are replaced."""

    def __init__(self, processes: int) -> None:
        self._processes = processes
        self._pool: ProcessPoolExecutor | None = None
        self._replacing = threading.Lock()  # protects `_pool`

    def decode(self, job: StepJob) -> None:
        """Do the job; its target appears whole or not at all.

        Raises ConversionError as `assembly.decode_step` does, and when the process died.
        """
        # No wait for the disk: `assembly.is_step` tells what a power cut has left.
        with sharedfiles.replacing(job.target, durable=False) as temporary:
            self._decode(dataclasses.replace(job, target=temporary))

    def _decode(self, job: StepJob) -> None:
        with self._replacing:
            if self._pool is None:
                # A fork of a program with threads may hang, so processes start afresh.
                self._pool = ProcessPoolExecutor(
                    self._processes, multiprocessing.get_context("spawn"), initializer=_follow_parent
                )
            pool = self._pool
        try:
            pool.submit(assembly.decode_step, job).result()
        except BrokenProcessPool as error:
            with self._replacing:
                if self._pool is pool:
                    self._pool = None
            raise ConversionError("a process died while it decoded this step or one beside it") from error

    def close(self) -> None:
        with self._replacing:
            if self._pool is not None:
                self._pool.shutdown(cancel_futures=True)
                self._pool = None


def _follow_parent() -> None:
    """Leave interrupts to the parent process, and end when it was killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def wait(sentinel: int) -> None:
        multiprocessing.connection.wait([sentinel])
        os._exit(1)

    threading.Thread(target=wait, args=(parent.sentinel,), daemon=True).start()


class Ingest:
    """Fetches and publishes cycles of one source. Use it as a context manager; `files` is closed by its maker."""

    def __init__(
        self,
        source: Source,
        files: HttpFiles,
        work: Path,
        *,
        processes: int | None = None,
        on_step: Callable[[StepDone], None] = lambda step: None,
    ) -> None:
        self.source, self.files, self._work = source, files, work
        self._on_step = on_step
        processes = processes or _cores()
        self._decoders = Decoders(processes)
        self._ranges = ThreadPoolExecutor(source.connections, thread_name_prefix="range")
        self._steps = ThreadPoolExecutor(processes + _STEPS_AHEAD, thread_name_prefix="step")

    def __enter__(self) -> Ingest:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._steps.shutdown(cancel_futures=True)
        self._ranges.shutdown(cancel_futures=True)
        self._decoders.close()

    # --- Which cycle

    def is_complete(self, order: Order) -> bool:
        """Whether the source has the last step of every member. Raises SourceError when it does not answer."""
        step = order.product.steps_hours[-1]
        # The last member alone tells most of the time.
        for members in (order.members[-1:], order.members[:-1]):
            addresses = [
                self.source.address(order.cycle, member, step, kind) + ".idx"
                for member in members
                for kind in order.product.kinds
            ]
            if not all(self._ranges.map(self.files.exists, addresses)):
                return False
        return True

    def newest(self, members: tuple[int, ...], product: Product, now: float, bucket: Bucket | None) -> Order | None:
        """The order of the latest cycle at Unix time `now` that the source has, or that is in the bucket already.

        None when there is none of the last two days.
        """
        for back in range(_CYCLES_BACK):
            order = Order(cycle_at(now - back * _CYCLE_SECONDS), members, product)
            if (bucket is not None and is_published(bucket, order)) or self.is_complete(order):
                return order
        return None

    # --- A whole cycle

    def publish(self, order: Order, bucket: Bucket) -> bool:
        """Fetch what is missing of a cycle and publish it; False when it is published already.

        A demo cycle in its place goes. Raises WindFileError when the bucket has the cycle as another product or with
        fewer members.
        """
        if is_published(bucket, order):
            return False
        folder = self._folder(order)
        publication = Publication(bucket, order.cycle, order.product.name)
        there = set(publication.resume(order.product.shape))
        missing = [member for member in order.members if member not in there]
        if there:
            log.info("cycle %s: members %s are in the bucket already", order.cycle, sorted(there))
        with ThreadPoolExecutor(1, thread_name_prefix="member") as finishing:
            # While a member is assembled and uploaded, the steps of the next one are fetched.
            before: Future[None] | None = None
            for member in missing:
                steps = self.fetch_steps(order, member, folder / f"{member:02d}")
                if before is not None:
                    before.result()
                before = finishing.submit(self._finish, order, member, steps, publication)
            if before is not None:
                before.result()
        publication.finish()
        shutil.rmtree(folder, ignore_errors=True)
        return True

    def _finish(self, order: Order, member: int, steps: Sequence[Path], publication: Publication) -> None:
        """Make the wind file of a member and put it into the bucket."""
        path = self._folder(order) / wind_file_name(order.cycle, member)
        began = time.monotonic()
        if not _is_whole(path):
            run = int(cycle_start(order.cycle))
            assembly.assemble(steps, order.product, path, run, self._provenance(order, member))
        assembled = time.monotonic()
        size = path.stat().st_size
        publication.add(member, path)
        shutil.rmtree(self._folder(order) / f"{member:02d}", ignore_errors=True)
        log.info(
            "cycle %s member %d: %.0f MB, assembled in %.1f s, in the bucket after %.1f s",
            order.cycle, member, size / 1e6, assembled - began, time.monotonic() - assembled,
        )  # fmt: skip

    def _folder(self, order: Order) -> Path:
        """Where the work on an order is kept: another product or source has another folder."""
        key = hashlib.sha256(repr((order.product, self.source.base, CONVERTER)).encode()).hexdigest()[:12]
        return self._work / f"{order.cycle}-{order.product.name}-{key}"

    def remove_other_work(self, order: Order) -> None:
        """Remove what was left in the work folder by orders that nobody will go on with."""
        for folder in self._work.glob("??????????-*-*"):
            if folder != self._folder(order):
                shutil.rmtree(folder, ignore_errors=True)

    def _provenance(self, order: Order, member: int) -> dict[str, Any]:
        return {
            "product": f"GEFS {order.product.name}",
            "source": self.source.name,
            "run": f"{order.cycle[:4]}-{order.cycle[4:6]}-{order.cycle[6:8]}T{order.cycle[8:]}:00:00Z",
            "steps_hours": list(order.product.steps_hours),
            "member": member,
            "kinds": list(order.product.kinds),
            "messages": len(order.product.wanted) * len(order.product.steps_hours),
            "converter": CONVERTER,
        }

    # --- One member, one step

    def fetch_steps(self, order: Order, member: int, folder: Path) -> list[Path]:
        """The step files of a member, in order, in `folder`; those that are there already are not fetched again."""
        folder.mkdir(parents=True, exist_ok=True)
        for left in folder.glob(".*"):
            left.unlink()
        paths = {step: folder / f"step_{step:03d}.winds" for step in order.product.steps_hours}
        futures = []
        for step, path in paths.items():
            if assembly.is_step(path, order.product):
                self._on_step(StepDone(member, step, 0, 0, 0.0))
            else:
                futures.append(self._steps.submit(self._make_step, order, member, step, path))
        try:
            for future in concurrent.futures.as_completed(futures):
                self._on_step(future.result())
        except BaseException:
            for future in futures:
                future.cancel()
            concurrent.futures.wait(futures)
            raise
        return list(paths.values())

    def _make_step(self, order: Order, member: int, step_hours: int, target: Path) -> StepDone:
        """Fetch and decode a step, again with a fresh inventory where what came does not fit."""
        for attempt in itertools.count(1):
            try:
                return self._try_step(order, member, step_hours, target)
            except _WORTH_ANOTHER_TRY as error:
                what = f"cycle {order.cycle} member {member} step {step_hours}"
                if attempt == _STEP_ATTEMPTS:
                    raise type(error)(f"{what}: {error.message}; tried {attempt} times") from error
                log.warning("%s: %s; again", what, error.message)
                self.files.pause(attempt)
        raise AssertionError

    def _try_step(self, order: Order, member: int, step_hours: int, target: Path) -> StepDone:
        began = time.monotonic()
        remotes, inventories = {}, {}
        for kind in order.product.kinds:
            remotes[kind], inventories[kind] = self._look(order.cycle, member, step_hours, kind)
        chosen = noaa.choose(order.product, inventories, order.cycle, step_hours)
        spans = [
            (remotes[kind], span)
            for kind, pieces in chosen.items()
            for span in noaa.merge(pieces, self.source.gap_bytes)
        ]
        with tempfile.NamedTemporaryFile(dir=target.parent, prefix=".messages-") as raw:
            messages = self._fetch_spans(spans, raw.fileno())
            job = StepJob(
                Path(raw.name), messages, order.product, int(cycle_start(order.cycle)), member, step_hours, target
            )
            assembly.check_whole(job)
            self._decoders.decode(job)
        fetched = sum(span.length for _, span in spans)
        return StepDone(member, step_hours, fetched, len(messages), time.monotonic() - began)

    def _look(self, cycle: str, member: int, step_hours: int, kind: str) -> tuple[RemoteFile, list[Entry]]:
        """A file of a step as it is now, and its inventory."""
        address = self.source.address(cycle, member, step_hours, kind)
        text = self.files.read(address + ".idx").decode("ascii", "replace")
        remote = self.files.look(address)
        return remote, noaa.parse_inventory(text, remote.size)

    def _fetch_spans(self, spans: Sequence[tuple[RemoteFile, Span]], descriptor: int) -> tuple[Found, ...]:
        """Fetch spans one behind the other into an open file; returns where their messages lie there."""
        found, futures, position = [], [], 0
        for remote, span in spans:
            futures.append(self._ranges.submit(self.files.fetch, remote, span.start, span.end, descriptor, position))
            for piece in span.pieces:
                where = position + piece.start - span.start
                found.append(Found(where, piece.end - piece.start, piece.wanted))
            position += span.length
        try:
            for future in concurrent.futures.as_completed(futures):
                future.result()
        finally:
            for future in futures:
                future.cancel()
            # Nobody may write to the descriptor after it is closed.
            concurrent.futures.wait(futures)
        return tuple(found)

    # --- The canary

    def canary(self, cycle: str, member: int, kind: str) -> str:
        """Fetch one message of a kind of file and say what it is. Raises ConversionError when it is not as expected."""
        step = noaa.FULL.steps_hours[1]
        remote, entries = self._look(cycle, member, step, kind)
        wind = [e for e in entries if e.variable == "UGRD" and e.level is not None and e.step_hours == step]
        if not wind:
            raise InventoryError(f"{remote.address}.idx has no UGRD on isobaric levels at step {step}")
        entry = wind[len(wind) // 2]
        with tempfile.TemporaryFile() as raw:
            self.files.fetch(remote, entry.start, entry.end, raw.fileno(), 0)
            content = os.pread(raw.fileno(), entry.end - entry.start, 0)
        fields, units = grib.decode(content), set(grib.units(content))
        header = fields[0].header if fields else None
        if header is None or (header.variable, header.level) != ("UGRD", entry.level):
            raise ConversionError(f"{remote.address}: the message of UGRD at {entry.level:g} hPa has {header}")
        grid = (header.series.rows, header.series.columns - 1)
        if units != {"m s**-1"} or grid != (noaa.FULL.rows, noaa.FULL.columns):
            raise ConversionError(
                f"{remote.address}: {header} is in {', '.join(sorted(units))} on {grid[0]} x {grid[1]} points"
            )
        return f"{kind}: {header}, m/s, {grid[0]} x {grid[1]} points, {len(content)} bytes"


def _is_whole(path: Path) -> bool:
    """Whether the wind file is there since a run that was stopped before it could upload it."""
    try:
        WindFile(path)
    except WindFileError:
        return False
    return True


def is_published(bucket: Bucket, order: Order) -> bool:
    """Whether the bucket has the cycle as ordered. Raises WindFileError when it has that forecast in another way."""
    try:
        manifest = read_manifest(bucket, order.cycle)
    except NotFoundError:
        return False
    if manifest.product == DEMO:
        return False
    if manifest.product == order.product.name and set(order.members) <= {m.member for m in manifest.members}:
        return True
    raise WindFileError(
        f"cycle {order.cycle} is in the bucket already, as {manifest.product} with {len(manifest.members)} members; "
        "readers may be flying on it, so it is not changed"
    )


def _cores() -> int:
    """Cores that this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)  # Linux has it
    return len(affinity(0)) if affinity is not None else os.cpu_count() or 1


def remove_old_cycles(bucket: Bucket, keep: int, published: str) -> list[str]:
    """Remove all cycles but the latest `keep`, the current one and that just `published`; returns what was removed.

    Also what is left of those older than these that were begun and never finished.
    """
    names = list(bucket.list())
    cycles = sorted((name[:10] for name in names if _is_manifest_name(name)), reverse=True)
    oldest = min(cycles[:keep], default="")
    begun = {match[1] for name in names if (match := _OF_A_CYCLE.match(name)) and match[1] < oldest}
    current = ""
    with contextlib.suppress(NotFoundError):
        current = bucket.read(CURRENT).decode("ascii", "replace").strip()
    old = sorted(({*cycles[keep:]} | (begun - {*cycles})) - {current, published}, reverse=True)
    for cycle in old:
        remove_cycle(bucket, cycle)
    return old


def _is_manifest_name(name: str) -> bool:
    return len(name) == len("YYYYMMDDHH.json") and name[:10].isdecimal() and name.endswith(".json")
