"""Failed logins: after some, a growing wait, by username and address, for all workers and machines."""

from __future__ import annotations

import ipaddress
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256

from sqlalchemy import delete, or_, select
from sqlalchemy.orm import Session

from habsim.errors import BusyError
from missions.database import Database, insert_if_absent, now_seconds
from missions.models import Attempts

FIRST_WAIT_SECONDS = 1.0  # doubled with each further failure
FORGOTTEN_SECONDS = 3600.0  # after the last failure
KNOWN_SECONDS = 30 * 86400.0
_KNOWN = "known "
_DOUBLINGS = 10  # beyond them the wait is at its longest


@dataclass(frozen=True)
class Patience:
    """How many failures are `free`, and the longest wait (s) after more of them."""

    free: int
    longest: float


# Who guesses from one place soon waits long. A username guessed at from many places waits a little, except where it has
# signed in before, so that its owner is not kept out by others; and behind one address there may be a whole institute.
OF_USERNAME_FROM_ADDRESS = Patience(5, 900.0)
OF_USERNAME = Patience(100, 5.0)
OF_ADDRESS = Patience(100, 60.0)
OF_GATE = Patience(20, 900.0)  # one password for all


class Lockout:
    """Counts an attempt as failed before it is checked, so that many at once are no way around it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def attempt(self, keys: Mapping[str, Patience]) -> None:
        """Count an attempt under each key. Raises BusyError while one of them must wait; then none is counted."""
        with self._database.writing() as session:
            now = session.execute(select(now_seconds())).scalar_one()
            for key, patience in sorted(keys.items()):  # in one order: two attempts never wait for each other
                row = _row(session, key, now)
                if row.blocked_until > now:
                    raise _wait("too many failed attempts", row.blocked_until - now)
                row.failures = 1 if now - row.last > FORGOTTEN_SECONDS else row.failures + 1
                row.last = now
                if row.failures >= patience.free:
                    seconds = FIRST_WAIT_SECONDS * 2.0 ** min(row.failures - patience.free, _DOUBLINGS)
                    row.blocked_until = now + min(seconds, patience.longest)

    def count(self, key: str, what: str, most: int) -> None:
        """Count one of at most so many in an hour. Raises BusyError beyond them."""
        with self._database.writing() as session:
            now = session.execute(select(now_seconds())).scalar_one()
            row = _row(session, key, now)
            if now - row.last > FORGOTTEN_SECONDS:
                row.failures, row.last = 0, now
            if row.failures >= most:
                raise _wait(f"{most} {what} in an hour are the limit", row.last + FORGOTTEN_SECONDS - now)
            row.failures += 1

    def succeeded(self, *, forget: Sequence[str] = (), undo: Sequence[str] = (), known: str | None = None) -> None:
        """The attempt was right: all failures of `forget` are forgotten, of `undo` this one alone; `known` is one more
        key that `is_known` for a month."""
        with self._database.writing() as session:
            now = session.execute(select(now_seconds())).scalar_one()
            for key in sorted({*forget, *undo, *([known] if known else [])}):  # in the order of `attempt`
                row = _row(session, key, now)
                row.failures = max(row.failures - 1, 0) if key in undo else 0
                row.blocked_until = 0.0
                if key == known:
                    row.last = now
            old = or_(
                Attempts.last < now - KNOWN_SECONDS,
                (Attempts.last < now - FORGOTTEN_SECONDS) & ~Attempts.key.startswith(_KNOWN),
            )
            # Those that others hold are for another time.
            gone = select(Attempts.key).where(old).with_for_update(skip_locked=True)
            session.execute(delete(Attempts).where(Attempts.key.in_(gone)).execution_options(synchronize_session=False))

    def is_known(self, key: str) -> bool:
        with self._database.reading() as session:
            return session.get(Attempts, key) is not None


def _row(session: Session, key: str, now: float) -> Attempts:
    """The row of a key, which nobody else changes meanwhile."""
    while True:
        insert_if_absent(session, Attempts, key=key, failures=0, last=now, blocked_until=0.0)
        row = session.execute(select(Attempts).where(Attempts.key == key).with_for_update()).scalar_one_or_none()
        if row is not None:  # else it was just deleted
            return row


def _wait(why: str, seconds: float) -> BusyError:
    whole = max(1, math.ceil(seconds))
    return BusyError(f"{why}; try again in {whole} s", whole)


def of_username(username: str, address: str | None = None) -> str:
    """The key of a username, or of one from an address."""
    return f"user {sha256(username.lower().encode('utf-8', 'surrogatepass')).hexdigest()[:24]}{_place(address)}"


def of_known(username: str, address: str | None) -> str:
    """The key of a place that a user has signed in from."""
    return f"{_KNOWN}{of_username(username, address or '')}"


def of_address(address: str | None, what: str = "login") -> str:
    """The key of an address."""
    return f"{what}{_place(address or 'nowhere')}"


def _place(address: str | None) -> str:
    """An address in a key; an IPv6 network of 64 bits is one, since its host may take any in it."""
    if address is None:
        return ""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return " from nowhere"
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is None:
        return f" from {ipaddress.ip_network((parsed, 64), strict=False)}"
    return f" from {getattr(parsed, 'ipv4_mapped', None) or parsed}"
