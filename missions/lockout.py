"""Failed logins: after some, a growing wait, per username and per address, for all workers and machines."""

from __future__ import annotations

import ipaddress
import math
from collections.abc import Mapping, Sequence
from hashlib import sha256

from sqlalchemy import delete, select, update

from habsim.errors import BusyError
from missions.database import Database, insert_if_absent, now_seconds
from missions.models import Attempts

# So many may fail before the first wait. Behind one address there may be a whole institute.
FREE_OF_USERNAME, FREE_OF_ADDRESS = 5, 20
FIRST_WAIT_SECONDS = 1.0  # doubled with each further failure
LONGEST_WAIT_SECONDS = 900.0
FORGOTTEN_SECONDS = 3600.0  # after the last failure
_DOUBLINGS = 10  # beyond them the wait is at its longest


class Lockout:
    """Counts an attempt as failed before it is checked, so that many at once are no way around it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def attempt(self, keys: Mapping[str, int]) -> None:
        """Count an attempt under each key, with how many are free. Raises BusyError while one of them must wait."""
        with self._database.writing() as session:
            now = session.execute(select(now_seconds())).scalar_one()
            for key, free in sorted(keys.items()):  # in one order: two attempts never wait for each other
                insert_if_absent(session, Attempts, key=key, failures=0, last=now, blocked_until=0.0)
                row = session.execute(select(Attempts).where(Attempts.key == key).with_for_update()).scalar_one()
                wait = row.blocked_until - now
                if wait > 0:
                    raise BusyError(
                        f"too many failed attempts; try again in {math.ceil(wait)} s", max(1, math.ceil(wait))
                    )
                row.failures = 1 if now - row.last > FORGOTTEN_SECONDS else row.failures + 1
                row.last = now
                if row.failures >= free:
                    seconds = FIRST_WAIT_SECONDS * 2.0 ** min(row.failures - free, _DOUBLINGS)
                    row.blocked_until = now + min(seconds, LONGEST_WAIT_SECONDS)

    def succeeded(self, *, forget: Sequence[str] = (), undo: Sequence[str] = ()) -> None:
        """The attempt was right: all failures of `forget` are forgotten, of `undo` this one alone."""
        with self._database.writing() as session:
            session.execute(delete(Attempts).where(Attempts.key.in_(forget)))
            session.execute(
                update(Attempts)
                .where(Attempts.key.in_(undo), Attempts.failures > 0)
                .values(failures=Attempts.failures - 1, blocked_until=0.0)
            )
            session.execute(delete(Attempts).where(Attempts.last < now_seconds() - FORGOTTEN_SECONDS))


def of_username(username: str) -> str:
    return f"user {sha256(username.lower().encode('utf-8', 'surrogatepass')).hexdigest()[:32]}"


def of_address(address: str | None, what: str = "login") -> str:
    """The key of an address; an IPv6 network of 64 bits is one, since its host may take any in it."""
    try:
        parsed = ipaddress.ip_address(address or "")
    except ValueError:
        return f"{what} from nowhere"
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is None:
        return f"{what} from {ipaddress.ip_network((parsed, 64), strict=False)}"
    return f"{what} from {getattr(parsed, 'ipv4_mapped', None) or parsed}"
