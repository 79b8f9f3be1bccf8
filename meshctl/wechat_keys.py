"""The keys between order_rpc and the sandbox's WeChat Pay: made once, for the life of a state directory."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

_BITS = 2048
_EXPONENT = 65_537


class KeyPair(NamedTuple):
    """A key and its public part, PEM."""

    private: str
    public: str


class WechatKeys(NamedTuple):
    """What each side signs with."""

    merchant: KeyPair
    platform: KeyPair


def wechat_keys(state: Path) -> WechatKeys:
    """Read the keys, which are made where there are none; the private parts are readable by their owner alone."""
    return WechatKeys(_key_pair(state / "wechat-merchant.pem"), _key_pair(state / "wechat-platform.pem"))


def _key_pair(path: Path) -> KeyPair:
    if not path.exists():
        key = generate_private_key(_EXPONENT, _BITS)
        path.touch(mode=0o600)
        path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    private = path.read_text()
    loaded = load_pem_private_key(private.encode(), None)
    if not isinstance(loaded, RSAPrivateKey):
        raise TypeError(f"{path} is not an RSA key: remove it, and another one is made")
    public = loaded.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    return KeyPair(private, public)
