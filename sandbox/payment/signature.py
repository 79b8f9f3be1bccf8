"""Signatures of the payment channel: hex HMAC-SHA256 over `key=value` pairs in the order of the keys."""

import hashlib
import hmac
from collections.abc import Mapping


def sign(secret: str, fields: Mapping[str, object]) -> str:
    """Sign a flat object of strings and integers; a field `sign` does not count."""
    text = "&".join(f"{key}={fields[key]}" for key in sorted(fields) if key != "sign")
    return hmac.new(secret.encode(), text.encode(), hashlib.sha256).hexdigest()


def is_signed(secret: str, fields: Mapping[str, object]) -> bool:
    """Whether the object's `sign` is the signature of its other fields."""
    return hmac.compare_digest(sign(secret, fields).encode(), str(fields.get("sign", "")).encode())
