"""Cycles and wind files by name, and the manifest that says what a cycle consists of."""

from __future__ import annotations

import contextlib
import datetime
import functools
import json
import re
from dataclasses import dataclass
from typing import Any

from habsim.errors import BucketError, NotFoundError
from store.bucket import Bucket

WIND_FILE = re.compile(r"(\d{10})_(\d\d)\.npz")
DEMO = "demo"  # the product of winds that are made up
_CYCLE = re.compile(r"\d{8}(00|06|12|18)")


@functools.lru_cache(maxsize=64)
def cycle_start(cycle: str) -> float:
    """Unix seconds of `YYYYMMDDHH`. Raises NotFoundError when it does not name a cycle."""
    if _CYCLE.fullmatch(cycle):
        with contextlib.suppress(ValueError):
            return datetime.datetime.strptime(cycle + "+0000", "%Y%m%d%H%z").timestamp()
    raise NotFoundError(f"{cycle[:40]!r} is not a cycle; a cycle is YYYYMMDDHH with hour 00, 06, 12 or 18")


def cycle_at(timestamp: float) -> str:
    """Name of the latest cycle that starts at or before `timestamp` (Unix seconds)."""
    moment = datetime.datetime.fromtimestamp(timestamp - timestamp % 21600, datetime.UTC)
    return moment.strftime("%Y%m%d%H")


def wind_file_name(cycle: str, member: int) -> str:
    return f"{cycle}_{member:02d}.npz"


@dataclass(frozen=True)
class ManifestMember:
    """One member of a cycle as published; `shape` is that of its wind array, `made` RFC 3339."""

    member: int
    size: int
    sha256: str
    shape: tuple[int, ...]
    made: str


@dataclass(frozen=True)
class Manifest:
    """What a cycle consists of. `product` says where it is from, for example `demo`, `gfs`, `classic` or `full`."""

    cycle: str
    product: str
    interval_seconds: float
    levels: tuple[float, ...]
    has_height: bool
    members: tuple[ManifestMember, ...]

    def to_json(self) -> bytes:
        content = {
            "cycle": self.cycle,
            "product": self.product,
            "demo": self.product == DEMO,
            "interval_seconds": self.interval_seconds,
            "levels": list(self.levels),
            "has_height": self.has_height,
            "members": [
                {
                    "member": m.member,
                    "file": wind_file_name(self.cycle, m.member),
                    "size": m.size,
                    "sha256": m.sha256,
                    "shape": list(m.shape),
                    "made": m.made,
                }
                for m in self.members
            ],
        }
        return json.dumps(content, indent=1).encode()

    @classmethod
    def from_json(cls, content: bytes, name: str) -> Manifest:
        """Read a manifest. Raises BucketError when it is damaged."""
        try:
            fields: dict[str, Any] = json.loads(content)
            members = tuple(
                ManifestMember(int(m["member"]), int(m["size"]), str(m["sha256"]), tuple(m["shape"]), str(m["made"]))
                for m in fields["members"]
            )
            manifest = cls(
                cycle=str(fields["cycle"]),
                product=str(fields["product"]),
                interval_seconds=float(fields["interval_seconds"]),
                levels=tuple(float(level) for level in fields["levels"]),
                has_height=bool(fields["has_height"]),
                members=members,
            )
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
            raise BucketError(f"manifest {name} is damaged: {error!r}") from error
        if not members or f"{manifest.cycle}.json" != name:
            raise BucketError(f"manifest {name} names cycle {manifest.cycle} with {len(members)} members")
        numbers = [m.member for m in members]
        if len(set(numbers)) < len(numbers):
            raise BucketError(f"manifest {name} names a member twice: {numbers}")
        return manifest


def read_manifest(bucket: Bucket, cycle: str) -> Manifest:
    """The manifest of `cycle`. Raises NotFoundError without one, BucketError when it is damaged."""
    name = f"{cycle}.json"
    return Manifest.from_json(bucket.read(name), name)
