"""Passwords: Argon2id hashes, and the same time for every wrong answer."""

from __future__ import annotations

import threading

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

SHORTEST, LONGEST = 8, 200

# The first choice of OWASP's Password Storage Cheat Sheet: 46 MiB, one pass, one lane; about 0.05 s on one core.
_HASHER = PasswordHasher(time_cost=1, memory_cost=47_104, parallelism=1)
# Bounds the memory of a process, however many sign in at once.
_AT_ONCE = threading.BoundedSemaphore(2)
# What is checked where there is no such user, so that the time does not tell.
_NOBODY = "$argon2id$v=19$m=47104,t=1,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"


def hashed(password: str) -> str:
    with _AT_ONCE:
        return _HASHER.hash(_bytes(password))


def is_right(password: str, password_hash: str | None) -> bool:
    """Whether it is the password of the hash; without one it takes as long, and is not."""
    with _AT_ONCE:
        try:
            return _HASHER.verify(password_hash or _NOBODY, _bytes(password)) and password_hash is not None
        except (VerificationError, InvalidHashError):
            return False


def needs_rehash(password_hash: str) -> bool:
    """Whether it was made with less work than is asked for now."""
    return _HASHER.check_needs_rehash(password_hash)


def _bytes(password: str) -> bytes:
    return password.encode("utf-8", "surrogatepass")
