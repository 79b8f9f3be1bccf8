"""The tokens with which users call: the user service issues them, and the gateway checks them without asking anybody.

A token is a JWT under HS256 and never under anything else. One secret for both ends is enough: whoever could read the
gateway's could call the services behind it without any token.

Keys are written `<key id>:<secret>,<key id>:<secret>`. The first one signs, and all of them verify. A new key is added
at the end everywhere, then put first, and the old one goes when the last token that it signed is over.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from pydantic import AfterValidator, SecretStr

from mesh.lean_imports import without

# HMAC is in the standard library; the other algorithms are never used.
with without("cryptography"):
    import jwt

ALGORITHM = "HS256"
KEYS_MAX = 8
TOKEN_CHARACTERS_MAX = 1024

_KEY = re.compile(r"([a-z0-9-]{1,32}):([A-Za-z0-9_-]{43,128})", re.ASCII)
_USER_ID = re.compile(r"[1-9][0-9]{0,17}", re.ASCII)
_CLAIMS = ("brand", "user", "exp", "jti")


class TokenInvalidError(Exception):
    """It is no token of ours."""


class TokenExpiredError(Exception):
    """It was a token of ours, and its time is over."""


@dataclass(frozen=True, slots=True)
class UserToken:
    """Whom a token stands for. `token_id` is its own name, for logs."""

    brand_id: int
    user_id: str
    token_id: str


def parse_keys(text: str) -> Mapping[str, bytes]:
    """Read keys by their ids, the signing one first. Raises ValueError, which shows no secret."""
    parts = [part.strip() for part in text.split(",") if part.strip()]
    matches = [match for part in parts if (match := _KEY.fullmatch(part))]
    keys = {match[1]: match[2].encode() for match in matches}
    if len(matches) < len(parts):
        raise ValueError("write id:secret,id:secret, an id of a-z, 0-9 and -, a secret of 43 or more A-Z a-z 0-9 _ -")
    if len(keys) < len(parts) or len(keys) > KEYS_MAX:
        raise ValueError(f"at most {KEYS_MAX} keys, each under an id of its own")
    return keys


def _checked(keys: SecretStr) -> SecretStr:
    parse_keys(keys.get_secret_value())
    return keys


TokenKeys = Annotated[SecretStr, AfterValidator(_checked)]
"""Keys as a setting."""


class AccessTokens:
    """Issues and reads tokens with the given keys. Without keys every token is refused."""

    def __init__(self, keys: TokenKeys) -> None:
        self._keys = parse_keys(keys.get_secret_value())

    def issue(self, brand_id: int, user_id: str, *, expires_at_ms: int) -> str:
        """Write a token. Raises ValueError where there is no key to sign with."""
        if not self._keys:
            raise ValueError("there is no key to sign with")
        key_id = next(iter(self._keys))
        claims = {"brand": brand_id, "user": user_id, "exp": expires_at_ms // 1000, "jti": secrets.token_urlsafe(12)}
        return jwt.encode(claims, self._keys[key_id], ALGORITHM, headers={"kid": key_id})

    def read(self, text: str) -> UserToken:
        """Say whom a token stands for. Raises TokenExpiredError, TokenInvalidError."""
        if len(text) > TOKEN_CHARACTERS_MAX:
            raise TokenInvalidError
        try:
            key = self._keys.get(str(jwt.get_unverified_header(text).get("kid")))
            if key is None:
                raise TokenInvalidError
            claims = jwt.decode(text, key, [ALGORITHM], options={"require": list(_CLAIMS)})
        except jwt.ExpiredSignatureError:
            raise TokenExpiredError from None
        except jwt.InvalidTokenError:
            raise TokenInvalidError from None
        return _user_token(claims)


def _user_token(claims: Mapping[str, object]) -> UserToken:
    brand_id, user_id, token_id = claims["brand"], claims["user"], claims["jti"]
    if type(brand_id) is not int or not isinstance(user_id, str) or not isinstance(token_id, str):
        raise TokenInvalidError
    if not _USER_ID.fullmatch(user_id):
        raise TokenInvalidError
    return UserToken(brand_id, user_id, token_id)
