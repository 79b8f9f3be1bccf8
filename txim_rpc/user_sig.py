"""The UserSig that each call carries: who calls, for how long that may be, and an HMAC over both (TLS version 2.0)."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
import zlib
from collections.abc import Callable
from typing import Final

RENEW_SHARE: Final = 0.5
"""Share of its time after which a UserSig is made anew: a clock that is hours wrong still finds it valid."""

_URL_ALPHABET: Final = bytes.maketrans(b"+/=", b"*-_")


def user_sig(secret_key: str, sdk_app_id: int, identifier: str, made_at_seconds: int, valid_seconds: int) -> str:
    """Make a UserSig ("Generating UserSig" of Tencent Cloud Chat).

    JSON with the HMAC-SHA256 of its other fields as lines, deflated and in a base64 whose `+/=` are written `*-_`.
    """
    lines = (
        f"TLS.identifier:{identifier}\n"
        f"TLS.sdkappid:{sdk_app_id}\n"
        f"TLS.time:{made_at_seconds}\n"
        f"TLS.expire:{valid_seconds}\n"
    )
    digest = hmac.new(secret_key.encode(), lines.encode(), hashlib.sha256).digest()
    fields = {
        "TLS.ver": "2.0",
        "TLS.identifier": identifier,
        "TLS.sdkappid": sdk_app_id,
        "TLS.expire": valid_seconds,
        "TLS.time": made_at_seconds,
        "TLS.sig": base64.b64encode(digest).decode(),
    }
    deflated = zlib.compress(json.dumps(fields).encode())
    return base64.b64encode(deflated).translate(_URL_ALPHABET).decode()


class UserSigs:
    """The administrator's UserSig, made once and used until half of its time is over."""

    def __init__(
        self,
        secret_key: str,
        sdk_app_id: int,
        identifier: str,
        valid_seconds: int,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._secret_key = secret_key
        self._sdk_app_id = sdk_app_id
        self._identifier = identifier
        self._valid_seconds = valid_seconds
        self._clock = clock
        self._sign()

    def current(self) -> str:
        """Answer one that is valid for long enough."""
        age_seconds = self._clock() - self._made_at_seconds
        # A clock that was set back must not leave a signature from the future in use.
        if not 0 <= age_seconds < self._valid_seconds * RENEW_SHARE:
            self._sign()
        return self._user_sig

    def renew(self, refused: str) -> str:
        """Answer another than the one that Tencent refused. Of many calls refused at once, the first makes it."""
        if refused == self._user_sig:
            self._sign()
        return self._user_sig

    def _sign(self) -> None:
        self._made_at_seconds = int(self._clock())
        self._user_sig = user_sig(
            self._secret_key, self._sdk_app_id, self._identifier, self._made_at_seconds, self._valid_seconds
        )
