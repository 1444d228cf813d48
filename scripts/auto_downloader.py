"""Fetch GEFS cycles from NOAA and publish them in a bucket.

    python -m scripts.auto_downloader                                    the newest complete cycle, all 21 members
    python -m scripts.auto_downloader --cycle 2026072400 --product full --members 0-5
    python -m scripts.auto_downloader --mode daemon --store s3
    python -m scripts.auto_downloader --canary

A run that was stopped or killed goes on where it was when it is started again with the same words. Exit codes, for
schedulers:

    0  published, or it was there already; a daemon that was asked to stop
    1  failed; the last line says why
    2  wrong words
    3  there is no complete cycle yet
    4  another instance works in the same folder
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError
from rich.console import Console
from rich.logging import RichHandler
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

import sharedfiles
from forecasts import noaa
from forecasts.httpfiles import HttpFiles
from forecasts.ingest import Ingest, Order, StepDone, is_published, remove_old_cycles
from habsim.errors import HabsimError, NotFoundError, SourceError, StoppedError
from settings import Settings
from store.bucket import Bucket, LocalBucket
from store.manifest import cycle_start
from store.opening import open_bucket

log = logging.getLogger("auto_downloader")

DONE, FAILED, USAGE, NOT_COMPLETE, LOCKED = 0, 1, 2, 3, 4


def _members(text: str) -> tuple[int, ...]:
    """`0-20` or `0,3,5` or both."""
    found: set[int] = set()
    for part in text.split(","):
        match = re.fullmatch(r"(\d{1,2})(?:-(\d{1,2}))?", part.strip())
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if not first <= last <= noaa.MAX_MEMBER:
            raise argparse.ArgumentTypeError(f"{text!r} names no members; for example 0-20 or 0,3,5, up to 30")
        found.update(range(first, last + 1))
    return tuple(sorted(found))


def _cycle(text: str) -> str:
    try:
        cycle_start(text)
    except NotFoundError as error:
        raise argparse.ArgumentTypeError(error.message) from error
    return text


def _at_least_one(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} must be a whole number from 1")
    return int(text)


def _parser() -> argparse.ArgumentParser:
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--mode", choices=("single", "daemon"), default="single", help="one cycle, or every cycle from now on")
    add("--cycle", type=_cycle, metavar="YYYYMMDDHH", help="which cycle (default: the newest that is complete)")
    add("--product", choices=sorted(noaa.PRODUCTS), default="classic", help="what to make (default: classic)")
    add("--members", type=_members, default=_members("0-20"), metavar="LIST", help="for example 0-20 or 0,3,5")
    add("--max-hours", type=_at_least_one, metavar="N", help="leave out later steps")
    add("--store", metavar="FOLDER|s3", help="where to publish (default: the bucket of the settings)")
    add("--keep", type=_at_least_one, default=4, metavar="N", help="cycles kept in the bucket (default: 4)")
    add("--work", type=Path, metavar="DIR", help="folder for what is under way (default: in the data folder)")
    add("--poll-minutes", type=_at_least_one, default=5, metavar="N", help="time between looks of a daemon")
    add("--canary", action="store_true", help="only fetch one message of each kind of file, and check it")
    return parser


@dataclass(frozen=True)
class Run:
    """What the command line and the settings say."""

    options: argparse.Namespace
    settings: Settings
    product: noaa.Product
    source: noaa.Source
    bucket: Bucket
    work: Path
    clock: Callable[[], float]
    stop: threading.Event


def _prepare(words: list[str] | None, clock: Callable[[], float], stop: threading.Event) -> Run:
    """Read words and settings; exits with USAGE when they are wrong."""
    parser = _parser()
    options = parser.parse_args(words)
    try:
        settings = Settings()
        product = noaa.PRODUCTS[options.product]
        if options.max_hours is not None:
            product = product.until(options.max_hours)
    except ValidationError as error:
        parser.error("; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()))
    except SourceError as error:
        parser.error(error.message)
    if options.mode == "daemon" and (options.cycle or options.canary):
        parser.error("--mode daemon goes with neither --cycle nor --canary")
    if options.store in (None, "s3"):
        bucket = open_bucket(settings)
        if options.store == "s3" and isinstance(bucket, LocalBucket):
            parser.error("--store s3 needs S3_BUCKET_NAME")
    else:
        bucket = LocalBucket(Path(options.store))
    return Run(
        options,
        settings,
        product,
        noaa.source_named(settings.noaa_source, settings.noaa_url),
        bucket,
        options.work or settings.data_dir / "downloader",
        clock,
        stop,
    )


def _publish_once(run: Run, ingest: Ingest) -> int:
    """Publish the cycle that is asked for, or the newest one."""
    options, members = run.options, run.options.members
    if options.cycle:
        order = Order(options.cycle, members, run.product)
        found = order if is_published(run.bucket, order) or ingest.is_complete(order) else None
    else:
        found = ingest.newest(members, run.product, run.clock(), run.bucket)
    if found is None:
        log.info(
            "%s is complete at %s yet", f"not all of {options.cycle}" if options.cycle else "no cycle", run.source.name
        )
        return NOT_COMPLETE
    ingest.remove_other_work(found)
    if not ingest.publish(found, run.bucket):
        log.info("cycle %s is published already", found.cycle)
        return DONE
    for old in remove_old_cycles(run.bucket, options.keep, found.cycle):
        log.info("cycle %s removed from the bucket, %d are kept", old, options.keep)
    return DONE


def _serve(run: Run, on_step: Callable[[StepDone], None]) -> int:
    while True:
        try:
            with (
                HttpFiles(
                    run.source.connections, requests_per_minute=run.source.requests_per_minute, stop=run.stop
                ) as files,
                Ingest(run.source, files, run.work, on_step=on_step) as ingest,
            ):
                if run.options.canary:
                    return _canary(run, ingest)
                status = _publish_once(run, ingest)
        except StoppedError:
            log.warning("stopped; what is finished is kept, and the next run goes on there")
            return DONE if run.options.mode == "daemon" else FAILED
        except (HabsimError, OSError) as error:
            if run.options.mode == "single":
                raise
            log.error("%s", error)
        if run.options.mode == "single":
            return status
        if run.stop.wait(run.options.poll_minutes * 60):
            return DONE


def _canary(run: Run, ingest: Ingest) -> int:
    """One line for each kind of file that products are made of."""
    kinds = noaa.FULL.kinds
    member = run.options.members[0]
    probe = noaa.FULL.until(noaa.FULL.steps_hours[1])
    found = ingest.newest((member,), probe, run.clock(), None)
    cycle = run.options.cycle or (found.cycle if found else None)
    if cycle is None:
        log.info("no cycle is complete at %s yet", run.source.name)
        return NOT_COMPLETE
    status = DONE
    for kind in kinds:
        try:
            print(f"ok {run.source.name} {ingest.canary(cycle, member, kind)}")
        except HabsimError as error:
            print(f"failed {run.source.name} {kind}: {error.message}")
            status = FAILED
    return status


@contextlib.contextmanager
def _reports(steps: int) -> Iterator[Callable[[StepDone], None]]:
    """What to call after each step: a bar on a terminal, else one line of the log each."""
    console = Console(stderr=True)
    if not console.is_terminal:
        logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", force=True)
        yield _log_step
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        handler = RichHandler(console=console, show_path=False)
        logging.basicConfig(level=logging.INFO, format="%(message)s", handlers=[handler], force=True)
        task = progress.add_task("steps", total=steps)
        yield lambda done: progress.update(task, advance=1, description=f"member {done.member}")


def _log_step(done: StepDone) -> None:
    if done.fetched_bytes:
        log.info(
            "member %d step %d h: %d messages, %.1f MB in %.1f s",
            done.member, done.step_hours, done.messages, done.fetched_bytes / 1e6, done.seconds,
        )  # fmt: skip
    else:
        log.info("member %d step %d h: there already", done.member, done.step_hours)


@contextlib.contextmanager
def _stopped_by_signals(stop: threading.Event) -> Iterator[None]:
    """Let SIGINT and SIGTERM set `stop`: what is finished is kept, and the next run goes on there."""
    before = {number: signal.signal(number, lambda *_: stop.set()) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def main(words: list[str] | None = None, clock: Callable[[], float] = time.time) -> int:
    """Run the command; returns the exit code. `clock` gives Unix seconds."""
    stop = threading.Event()
    run = _prepare(words, clock, stop)
    steps = len(run.options.members) * len(run.product.steps_hours)
    with _stopped_by_signals(stop), _reports(steps) as on_step:
        try:
            run.work.mkdir(parents=True, exist_ok=True)
            lock = sharedfiles.try_lock(run.work / "lock")
            if lock is None:
                log.error("another instance works in %s", run.work)
                return LOCKED
            try:
                return _serve(run, on_step)
            finally:
                os.close(lock)
        except (HabsimError, OSError) as error:
            log.error("%s", error)
            return FAILED


if __name__ == "__main__":
    sys.exit(main())
