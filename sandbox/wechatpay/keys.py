"""The keys of WeChat Pay and of its one merchant, and the signatures that they make."""

import base64
import binascii
import re
import secrets
import time
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key

from sandbox.clock import now_ms
from sandbox.payment.errors import PaymentError
from sandbox.settings import Settings

_SCHEME = "WECHATPAY2-SHA256-RSA2048 "
_FIELD = re.compile(r'(mchid|nonce_str|signature|timestamp|serial_no)="([^"]*)"')
_FIELD_COUNT = 5
_CLOCK_SECONDS_MAX = 300


@dataclass(frozen=True, slots=True)
class Keys:
    """What both sides sign with, and the key that notifications are sealed with."""

    app_id: str
    merchant_id: str
    merchant_serial: str
    merchant_key: RSAPublicKey
    platform_serial: str
    platform_key: RSAPrivateKey
    api_key: bytes

    def check(self, authorization: str, method: str, path: str, body: bytes) -> None:
        """Check a call's Authorization; PaymentError SIGN_ERROR."""
        fields = dict(_FIELD.findall(authorization)) if authorization.startswith(_SCHEME) else {}
        if len(fields) != _FIELD_COUNT:
            raise _sign_error("Authorization must have mchid, nonce_str, signature, timestamp and serial_no")
        if (fields["mchid"], fields["serial_no"]) != (self.merchant_id, self.merchant_serial):
            raise _sign_error("mchid or serial_no is not the merchant's")
        if not fields["timestamp"].isdigit() or abs(now_ms() / 1000 - int(fields["timestamp"])) > _CLOCK_SECONDS_MAX:
            raise _sign_error("timestamp is too far off")
        lines = _lines(method.encode(), path.encode(), fields["timestamp"].encode(), fields["nonce_str"].encode(), body)
        try:
            signature = base64.b64decode(fields["signature"], validate=True)
            self.merchant_key.verify(signature, lines, PKCS1v15(), hashes.SHA256())
        except (InvalidSignature, binascii.Error) as error:
            raise _sign_error("signature does not match") from error

    def sign(self, body: bytes, *, wrongly: bool = False) -> dict[str, str]:
        """Make the headers of an answer or a notification."""
        timestamp, nonce = str(int(time.time())), secrets.token_hex(16)
        signed = body + b"not" if wrongly else body
        lines = _lines(timestamp.encode(), nonce.encode(), signed)
        signature = self.platform_key.sign(lines, PKCS1v15(), hashes.SHA256())
        return {
            "Wechatpay-Timestamp": timestamp,
            "Wechatpay-Nonce": nonce,
            "Wechatpay-Serial": self.platform_serial,
            "Wechatpay-Signature": base64.b64encode(signature).decode(),
        }

    def seal(self, plain: bytes, nonce: str, associated_data: str) -> str:
        """Hide what a notification tells."""
        sealed = AESGCM(self.api_key).encrypt(nonce.encode(), plain, associated_data.encode())
        return base64.b64encode(sealed).decode()


def read_keys(settings: Settings) -> Keys | None:
    """Read the keys of the settings; None when they are not set."""
    platform_text = settings.wechat_platform_key.get_secret_value()
    if not platform_text or not settings.wechat_merchant_key:
        return None
    platform = load_pem_private_key(platform_text.encode(), None)
    merchant = load_pem_public_key(settings.wechat_merchant_key.encode())
    if not isinstance(platform, RSAPrivateKey) or not isinstance(merchant, RSAPublicKey):
        raise TypeError("wechat_platform_key and wechat_merchant_key must be RSA keys")
    return Keys(
        settings.wechat_app_id,
        settings.wechat_merchant_id,
        settings.wechat_merchant_serial,
        merchant,
        settings.wechat_platform_serial,
        platform,
        settings.wechat_api_key.get_secret_value().encode(),
    )


def _sign_error(reason: str) -> PaymentError:
    return PaymentError("SIGN_ERROR", reason, 401)


def _lines(*parts: bytes) -> bytes:
    return b"".join(part + b"\n" for part in parts)
