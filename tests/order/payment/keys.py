"""Keys of WeChat Pay and of its merchant, made once a test process."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

WECHAT_MERCHANT = "1900000002"
WECHAT_APP = "wxsandbox"
WECHAT_SERIAL = "5AD0C"
WECHAT_PLATFORM_SERIAL = "PUB_KEY_ID_SANDBOX"
WECHAT_API_KEY = "sandbox-wechat-api-key-32-letter"


class KeyPair(NamedTuple):
    """A key and its public part, PEM."""

    private: str
    public: str


@cache
def key_pair(of: str) -> KeyPair:
    """Make the keys of somebody."""
    del of
    # Each start of a service checks its keys, and twice the bits take seven times as long.
    key = generate_private_key(65_537, 1024)  # noqa: S505  # nothing is secret here
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    return KeyPair(private, public)


def sandbox_keys() -> dict[str, str]:
    """What the sandbox is told of them."""
    return {"wechat_merchant_key": key_pair("merchant").public, "wechat_platform_key": key_pair("platform").private}


def channel_keys(url: str, notify_url: str) -> dict[str, str]:
    """What order_rpc is told of them."""
    return {
        "url": url,
        "app_id": WECHAT_APP,
        "merchant_id": WECHAT_MERCHANT,
        "merchant_serial": WECHAT_SERIAL,
        "merchant_key": key_pair("merchant").private,
        "platform_serial": WECHAT_PLATFORM_SERIAL,
        "platform_key": key_pair("platform").public,
        "api_key": WECHAT_API_KEY,
        "notify_url": notify_url,
    }
