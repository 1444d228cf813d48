"""Tokens: JWT by HS256, which carry who signed in and can be revoked."""

from __future__ import annotations

import hmac
import uuid
from dataclasses import dataclass
from hashlib import sha256

import jwt

from habsim.errors import NotSignedInError

TOKEN_SECONDS = 7 * 24 * 3600
_ALGORITHM = "HS256"
_LONGEST = 4096  # characters


@dataclass(frozen=True)
class Claims:
    """What a token says: whose it is, its own id, when it ends (Unix seconds), the user's version when it was made."""

    user_id: uuid.UUID
    jti: str
    expires: float
    version: int


class Tokens:
    """Makes and reads tokens with a key of their own, derived from the secret."""

    def __init__(self, secret: str) -> None:
        self._key = hmac.new(secret.encode(), b"habsim account tokens", sha256).digest()

    def made(self, claims: Claims) -> str:
        content = {
            "sub": str(claims.user_id),
            "jti": claims.jti,
            "iat": int(claims.expires) - TOKEN_SECONDS,
            "exp": int(claims.expires),
            "ver": claims.version,
        }
        return jwt.encode(content, self._key, _ALGORITHM)

    def read(self, token: str) -> Claims:
        """Raises NotSignedInError for one that is forged, damaged or over."""
        try:
            if len(token) > _LONGEST or not token.isascii():
                raise ValueError("it is no token")
            content = jwt.decode(
                token, self._key, [_ALGORITHM], options={"require": ["sub", "jti", "iat", "exp", "ver"]}
            )
            return Claims(uuid.UUID(content["sub"]), str(content["jti"]), float(content["exp"]), int(content["ver"]))
        except jwt.ExpiredSignatureError:
            raise NotSignedInError("the token is over; sign in again") from None
        except (jwt.InvalidTokenError, ValueError, TypeError):
            raise NotSignedInError("the token is not valid; sign in again") from None

    def csrf(self, jti: str) -> str:
        """What a page sends with a change, to show that it was not another site's."""
        return hmac.new(self._key, b"csrf " + jti.encode(), sha256).hexdigest()[:32]

    def is_csrf(self, given: str, jti: str) -> bool:
        return hmac.compare_digest(given.encode("utf-8", "surrogatepass"), self.csrf(jti).encode())
