"""What an API key is.

The text of a key is `bm_<key id>_<secret>`. The secret is 256 random bits, so nobody guesses it from its hash by
trying, and one SHA-256 protects it as well as a slow password hash would, at a millionth of the cost a request.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass

BRANDS_MAX = 1000
"""Brands that one key may be scoped to; a key for more is a key for all."""

NAME_CHARACTERS_MAX = 100

_KEY_TEXT = re.compile(r"bm_([a-z2-7]{12})_[A-Za-z0-9_-]{43}", re.ASCII)


@dataclass(frozen=True, slots=True)
class ApiKey:
    """One key as it is stored: the hash, never the text. `brand_ids` None: all brands."""

    key_id: str
    key_sha256: str
    name: str
    brand_ids: frozenset[int] | None
    scopes: frozenset[str]
    created_at_ms: int
    expires_at_ms: int | None = None
    revoked_at_ms: int | None = None

    def is_text(self, text: str) -> bool:
        """Whether `text` is this key, in a time that tells nothing about the difference."""
        return hmac.compare_digest(self.key_sha256, hash_key(text))

    def is_expired(self, now_ms: int) -> bool:
        return self.expires_at_ms is not None and self.expires_at_ms <= now_ms

    def may_use_brand(self, brand_id: int) -> bool:
        return self.brand_ids is None or brand_id in self.brand_ids


def generate_key() -> tuple[str, str]:
    """Make a new key: its id, which is no secret, and its text, which is shown once."""
    key_id = base64.b32encode(secrets.token_bytes(8)).decode().lower()[:12]
    return key_id, f"bm_{key_id}_{secrets.token_urlsafe(32)}"


def key_id_of(text: str) -> str | None:
    """The id inside a key's text; None when the text has not the form of a key."""
    match = _KEY_TEXT.fullmatch(text)
    return match[1] if match else None


def hash_key(text: str) -> str:
    """What is stored of a key: SHA-256 in hexadecimal."""
    return hashlib.sha256(text.encode()).hexdigest()
