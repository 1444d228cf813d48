"""Make the demo cycle: a GEFS-like ensemble of analytic winds, so that HABSIM flies without a download.

    python -m scripts.demo_cycle --bucket data/bucket [--now 2025-11-20T18:00:00Z] [--if-needed]

21 members, 5 degrees, the 31 levels of the GEFS, 6-hourly to 120 h from the latest 00, 06, 12 or 18 UTC: about 222 MB.
Demo cycles made before are removed once the new one is current. A cycle that is not a demo is never touched.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import json
import math
import re
import shutil
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import sharedfiles
from habsim.errors import BucketError, HabsimError, NotFoundError, WindFileError

# `make run` asks at every start whether a demo cycle is needed, so what takes long to import waits until one is.
if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from habsim import demo_winds
    from store.bucket import LocalBucket

PRODUCT = "demo"
MEMBERS = 21
STEP_DEGREES = 5
INTERVAL_SECONDS = 6 * 3600
TIMES = 21
WAIT_SECONDS = 120.0  # for another process that is making the demo cycle, which takes it about 10 s
# Half floats and BLAS release the interpreter; more threads than this would only cost memory (50 MB each).
THREADS = 2
FIRST_MOMENT, LAST_MOMENT = 0.0, 4_102_444_800.0  # the years 1970 to 2099

_WIND_FILE = re.compile(r"(\d{10})_\d\d\.npz")


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    options = _parser().parse_args(arguments)
    now = time.time() if options.now is None else options.now
    folder = options.bucket.resolve()
    try:
        print(make_if_needed(folder, now) if options.if_needed else make(folder, now))
    except (HabsimError, OSError) as error:
        print(f"no demo cycle was made: {error}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m scripts.demo_cycle", description="Make the demo cycle.")
    parser.add_argument("--bucket", type=Path, required=True, metavar="DIR", help="folder of the bucket")
    parser.add_argument("--now", type=moment, help="RFC 3339 or Unix seconds; default: the clock")
    parser.add_argument(
        "--if-needed",
        action="store_true",
        help="do nothing when the current cycle is a real one, or a demo that covers the present",
    )
    return parser


def moment(text: str) -> float:
    """Unix seconds of a number or an RFC 3339 text with its offset from UTC."""
    try:
        seconds = float(text)
    except ValueError:
        try:
            parsed = datetime.datetime.fromisoformat(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is neither RFC 3339 nor Unix seconds") from None
        if parsed.tzinfo is None:
            raise argparse.ArgumentTypeError(f"{text!r} has no offset from UTC; add Z for UTC") from None
        seconds = parsed.timestamp()
    if not (math.isfinite(seconds) and FIRST_MOMENT <= seconds < LAST_MOMENT):
        raise argparse.ArgumentTypeError(f"{text!r} is outside the years 1970 to 2099")
    return seconds


def make_if_needed(folder: Path, now: float) -> str:
    """As `make`, but only where there is no cycle to fly on at `now`."""
    reason = reason_to_keep(folder, now)
    if reason is None:
        with _only_one(folder):
            # Another process may have made it while this one waited for the lock.
            reason = reason_to_keep(folder, now) or _make(folder, now)
    return reason


def make(folder: Path, now: float) -> str:
    """Make the demo cycle of `now` (Unix seconds) in the bucket in `folder`; return a sentence that says what was done.

    Raises BucketError when a real cycle has its name or another process makes a demo cycle for too long.
    """
    with _only_one(folder):
        return _make(folder, now)


def reason_to_keep(folder: Path, now: float) -> str | None:
    """Why the current cycle of the bucket in `folder` is to stay, or None when a demo cycle is needed at `now`.

    It reads the two small files itself: importing `gefs` takes longer than all of a start that has nothing to do.
    """
    try:
        cycle = (folder / "whichgefs").read_text(errors="replace").strip()
    except FileNotFoundError:
        return None
    try:
        manifest = json.loads((folder / f"{cycle}.json").read_bytes())
        is_demo = manifest["product"] == PRODUCT
        steps = manifest["members"][0]["shape"][3] - 1
        start = datetime.datetime.strptime(f"{cycle}+0000", "%Y%m%d%H%z").timestamp()
        end = start + steps * manifest["interval_seconds"]
        sizes = {folder / member["file"]: member["size"] for member in manifest["members"]}
    except (OSError, ValueError, LookupError, TypeError):
        is_demo = False
    if not is_demo:
        return f"cycle {cycle} is current and not a demo: nothing to do"
    is_whole = all(path.is_file() and path.stat().st_size == size for path, size in sizes.items())
    if start <= now <= end and is_whole:
        return f"demo cycle {cycle} covers the present: nothing to do"
    return None


@contextlib.contextmanager
def _only_one(folder: Path) -> Iterator[None]:
    """Hold the lock that protects the work folder and the demo cycles of the bucket in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    with sharedfiles.first_free([folder / ".demo_cycle.lock"], WAIT_SECONDS) as lock:
        if lock is None:
            raise BucketError(f"another process has been making a demo cycle for {WAIT_SECONDS:.0f} s")
        yield


def _make(folder: Path, now: float) -> str:
    from store.bucket import LocalBucket
    from store.manifest import cycle_at
    from store.publish import publish

    began = time.monotonic()
    bucket = LocalBucket(folder)
    cycle = cycle_at(now)
    if cycle in _cycles(bucket) and not _is_demo(bucket, cycle):
        raise BucketError(f"cycle {cycle} is in bucket {folder} and is not a demo")
    # Beside the bucket, so that publishing is a rename. A folder left by a killed process is taken over.
    work = folder.with_name(f".{folder.name}.demo_cycle")
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    try:
        files = write_members(work, cycle, MEMBERS)
        megabytes = sum(path.stat().st_size for path in files.values()) / 1e6
        publish(bucket, cycle, files, product=PRODUCT)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    removed = _remove_demos(bucket, keep=cycle)
    took = f"{len(files)} members, {megabytes:.0f} MB, {time.monotonic() - began:.1f} s"
    return f"demo cycle {cycle} made: {took}" + (f"; removed {', '.join(removed)}" if removed else "")


def write_members(folder: Path, cycle: str, members: int) -> dict[int, Path]:
    """Write the wind files of the demo `cycle` into `folder`; returns member -> file."""
    import numpy as np

    import windfile
    from habsim import demo_winds
    from store.manifest import cycle_start, wind_file_name

    start = cycle_start(cycle)
    axes = demo_winds.Axes(
        latitudes=np.arange(90.0, -90.1, -STEP_DEGREES),
        longitudes=np.arange(0.0, 360.0, STEP_DEGREES),
        levels=demo_winds.LEVELS,
        times=start + INTERVAL_SECONDS * np.arange(TIMES, dtype=np.float64),
    )
    control = demo_winds.sample_control(axes, start)

    def write_member(member: int) -> Path:
        sample = control + demo_winds.sample_perturbation(axes, start, member) if member else control
        path = folder / wind_file_name(cycle, member)
        windfile.write(
            path,
            data=np.stack([_packed(sample.eastward), _packed(sample.northward)], axis=-1),
            height=_packed(sample.height),
            timestamp=start,
            interval_seconds=INTERVAL_SECONDS,
            levels=axes.levels,
            source={"product": PRODUCT, "cycle": cycle, "member": member, "made_by": "scripts.demo_cycle"},
        )
        return path

    with ThreadPoolExecutor(THREADS) as pool:
        return dict(enumerate(pool.map(write_member, range(members))))


def _packed(field: demo_winds.SampleArray) -> npt.NDArray[np.float16]:
    """`field` (lat, lon, level, time) in half precision with the first longitude repeated at the end."""
    import numpy as np

    half = field.astype(np.float16, order="C")
    return np.concatenate([half, half[:, :1]], axis=1)


def _cycles(bucket: LocalBucket) -> set[str]:
    """The cycles that have a wind file in `bucket`, whole or not."""
    return {match[1] for match in map(_WIND_FILE.fullmatch, bucket.list()) if match}


def _is_demo(bucket: LocalBucket, cycle: str) -> bool:
    """True for a demo, and for what a killed process or a file in use has left of one, which has no manifest."""
    import windfile
    from store.manifest import read_manifest

    try:
        return read_manifest(bucket, cycle).product == PRODUCT
    except NotFoundError:
        files = [bucket.root / name for name in bucket.list(f"{cycle}_") if _WIND_FILE.fullmatch(name)]
    except BucketError:
        return False
    try:
        return all(windfile.WindFile(file).source.get("product") == PRODUCT for file in files)
    except WindFileError:
        return False


def _remove_demos(bucket: LocalBucket, keep: str) -> list[str]:
    """Remove all demo cycles but `keep`; returns their names."""
    from store.publish import remove_cycle

    removed = [cycle for cycle in sorted(_cycles(bucket)) if cycle != keep and _is_demo(bucket, cycle)]
    for cycle in removed:
        remove_cycle(bucket, cycle)
    return removed


if __name__ == "__main__":
    sys.exit(main())
