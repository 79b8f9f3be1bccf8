"""WeChat Pay's signatures (APIv3): RSA with SHA-256 over lines, both ways, and AES-GCM around what it posts."""

from __future__ import annotations

import base64
import binascii
import secrets
import time
from collections.abc import Mapping

from cryptography.exceptions import InvalidSignature, InvalidTag, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key

from order_rpc.channel_settings import WechatPaySettings
from order_rpc.payment.channels.port import WrongSignatureError

_SCHEME = "WECHATPAY2-SHA256-RSA2048"
_NO_KEYS = "payment_channel_wechat: merchant_key and platform_key must be RSA keys, PEM"
_CLOCK_SECONDS_MAX = 300
"""Something older may be what somebody has recorded."""


class WechatSigning:
    """Signs for one merchant, and tells what WeChat Pay has signed."""

    def __init__(self, settings: WechatPaySettings) -> None:
        """Raise ValueError for keys that are none."""
        try:
            private = load_pem_private_key(settings.merchant_key.get_secret_value().encode(), None)
            public = load_pem_public_key(settings.platform_key.encode())
        except (ValueError, UnsupportedAlgorithm) as error:
            raise ValueError(_NO_KEYS) from error
        if not isinstance(private, RSAPrivateKey) or not isinstance(public, RSAPublicKey):
            raise ValueError(_NO_KEYS)  # noqa: TRY004  # what is wrong is a setting
        self._private = private
        self._public = public
        self._settings = settings
        self._sealed = AESGCM(settings.api_key.get_secret_value().encode())

    def authorize(self, method: str, path: str, body: bytes) -> str:
        """Make the Authorization of a call; `path` has its query."""
        timestamp, nonce = str(int(time.time())), secrets.token_hex(16)
        lines = _lines(method.encode(), path.encode(), timestamp.encode(), nonce.encode(), body)
        signature = base64.b64encode(self._private.sign(lines, PKCS1v15(), hashes.SHA256())).decode()
        fields = {
            "mchid": self._settings.merchant_id,
            "nonce_str": nonce,
            "signature": signature,
            "timestamp": timestamp,
            "serial_no": self._settings.merchant_serial,
        }
        return f"{_SCHEME} " + ",".join(f'{name}="{value}"' for name, value in fields.items())

    def verify(self, headers: Mapping[str, str], body: bytes) -> None:
        """Check an answer or a notification by its headers, named in lower case. Raises WrongSignatureError."""
        timestamp, nonce = headers.get("wechatpay-timestamp", ""), headers.get("wechatpay-nonce", "")
        if headers.get("wechatpay-serial") != self._settings.platform_serial or not _is_recent(timestamp):
            raise WrongSignatureError
        try:
            signature = base64.b64decode(headers.get("wechatpay-signature", ""), validate=True)
            lines = _lines(timestamp.encode(), nonce.encode(), body)
            self._public.verify(signature, lines, PKCS1v15(), hashes.SHA256())
        except (InvalidSignature, binascii.Error, ValueError) as error:
            raise WrongSignatureError from error

    def unseal(self, ciphertext: str, nonce: str, associated_data: str) -> bytes:
        """Read what a notification hides. Raises WrongSignatureError for what was not hidden by our key."""
        try:
            sealed = base64.b64decode(ciphertext, validate=True)
            return self._sealed.decrypt(nonce.encode(), sealed, associated_data.encode())
        except (InvalidTag, binascii.Error, ValueError) as error:
            raise WrongSignatureError from error


def _lines(*parts: bytes) -> bytes:
    return b"".join(part + b"\n" for part in parts)


def _is_recent(timestamp: str) -> bool:
    is_number = timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 12  # noqa: PLR2004  # seconds for millennia
    return is_number and abs(time.time() - int(timestamp)) <= _CLOCK_SECONDS_MAX
