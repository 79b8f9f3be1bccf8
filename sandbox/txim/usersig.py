"""UserSig: who calls, proven with the application's key (Tencent's format "2.0", HMAC-SHA256)."""

import base64
import binascii
import hmac
import json
import time
import zlib
from collections.abc import Mapping
from dataclasses import dataclass

from sandbox.txim.codes import Code, RefusalError

_ALPHABET = str.maketrans("*-_", "+/=")
# What base64 has and the UserSig's alphabet has not.
_STRANGERS = frozenset("+/=")
_CLAIMS_BYTES_MAX = 4096
_VERIFIED_MAX = 256
_UINT32_DIGITS_MAX = 10


@dataclass(frozen=True, slots=True)
class Claims:
    """What a UserSig says. `signed_at` is in Unix seconds."""

    identifier: str
    sdkappid: int
    signed_at: int
    expire_seconds: int
    userbuf: str
    signature: str

    @property
    def expires_at(self) -> int:
        """The first Unix second at which the UserSig is no longer good."""
        return self.signed_at + self.expire_seconds

    def is_signed_with(self, key: str) -> bool:
        """Whether the signature was made with this key over these very claims."""
        text = (
            f"TLS.identifier:{self.identifier}\nTLS.sdkappid:{self.sdkappid}\n"
            f"TLS.time:{self.signed_at}\nTLS.expire:{self.expire_seconds}\n"
        )
        if self.userbuf:
            text += f"TLS.userbuf:{self.userbuf}\n"
        expected = base64.b64encode(hmac.digest(key.encode(), text.encode(), "sha256"))
        return hmac.compare_digest(expected, self.signature.encode())


class Gatekeeper:
    """Lets the calls of one application's administrator in."""

    def __init__(self, sdkappid: int, administrator: str, key: str) -> None:
        """Take the application, its administrator and the key that its UserSigs are made with."""
        self._sdkappid = sdkappid
        self._administrator = administrator
        self._key = key
        self._verified: dict[tuple[str, str], Claims] = {}

    def authenticate(self, query: Mapping[str, str]) -> None:
        """Check the query of a call.

        Raises:
            RefusalError: 60012, 70020, 60004, 70003, 70014, 70013, 70009, 70001, 60010 or 60002, in this order.

        """
        self._require_application(query.get("sdkappid", ""))
        identifier, usersig = query.get("identifier", ""), query.get("usersig", "")
        if not identifier or not usersig:
            raise RefusalError(Code.SIGNATURE_MISSING)
        claims = self._verified.get((identifier, usersig)) or self._verify(identifier, usersig)
        if time.time() >= claims.expires_at:
            raise RefusalError(Code.SIGNATURE_EXPIRED)
        if identifier != self._administrator:
            raise RefusalError(Code.NOT_ADMINISTRATOR)
        _require_protocol(query)

    def _require_application(self, sdkappid: str) -> None:
        if not _is_uint32(sdkappid):
            raise RefusalError(Code.NO_APPLICATION)
        if int(sdkappid) != self._sdkappid:
            raise RefusalError(Code.APPLICATION_UNKNOWN)

    def _verify(self, identifier: str, usersig: str) -> Claims:
        """Check everything but the expiry, and remember the UserSig: a caller uses the same one for hours."""
        claims = decode(usersig)
        if claims.sdkappid != self._sdkappid:
            raise RefusalError(Code.SIGNATURE_OF_ANOTHER_APPLICATION)
        if claims.identifier != identifier:
            raise RefusalError(Code.SIGNATURE_OF_ANOTHER_IDENTIFIER)
        if not claims.is_signed_with(self._key):
            raise RefusalError(Code.SIGNATURE_WRONG)
        if len(self._verified) >= _VERIFIED_MAX:
            self._verified.clear()
        self._verified[identifier, usersig] = claims
        return claims


def decode(usersig: str) -> Claims:
    """Read a UserSig; refused with 70003 when it is not one."""
    if not _STRANGERS.isdisjoint(usersig):
        raise RefusalError(Code.SIGNATURE_MALFORMED)
    try:
        compressed = base64.b64decode(usersig.translate(_ALPHABET), validate=True)
        fields: object = json.loads(_inflate(compressed))
    except (binascii.Error, ValueError, zlib.error, RecursionError) as error:
        raise RefusalError(Code.SIGNATURE_MALFORMED) from error
    if not isinstance(fields, dict) or fields.get("TLS.ver") != "2.0":
        raise RefusalError(Code.SIGNATURE_MALFORMED)
    return Claims(
        identifier=_text(fields, "TLS.identifier"),
        sdkappid=_integer(fields, "TLS.sdkappid"),
        signed_at=_integer(fields, "TLS.time"),
        expire_seconds=_integer(fields, "TLS.expire"),
        userbuf=_text(fields, "TLS.userbuf") if "TLS.userbuf" in fields else "",
        signature=_text(fields, "TLS.sig"),
    )


def _inflate(compressed: bytes) -> bytes:
    """Decompress, at most so much: a short UserSig must not become a large text."""
    inflater = zlib.decompressobj()
    claims = inflater.decompress(compressed, _CLAIMS_BYTES_MAX)
    if not inflater.eof:
        raise ValueError("cut off or too long")
    return claims


def _require_protocol(query: Mapping[str, str]) -> None:
    if not _is_uint32(query.get("random", "")):
        raise RefusalError(Code.URL, "random must be an unsigned 32-bit integer")
    if query.get("contenttype") != "json":
        raise RefusalError(Code.URL, "contenttype must be json")


def _is_uint32(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= _UINT32_DIGITS_MAX and int(text) < 1 << 32


def _text(fields: Mapping[str, object], name: str) -> str:
    value = fields.get(name)
    if not isinstance(value, str):
        raise RefusalError(Code.SIGNATURE_MALFORMED, name)
    return value


def _integer(fields: Mapping[str, object], name: str) -> int:
    """Read a number; the older signers write it as a text."""
    value = fields.get(name)
    if isinstance(value, str) and value.isascii() and value.isdigit():
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise RefusalError(Code.SIGNATURE_MALFORMED, name)
    return value
