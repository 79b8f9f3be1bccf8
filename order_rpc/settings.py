"""What operators can set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, Self

from pydantic import Field, HttpUrl, SecretStr, model_validator

from mesh.access_tokens import TokenKeys
from mesh.settings import CommaSeparated, RpcSettings
from order_rpc.channel_settings import WechatPaySettings

Service = Literal["goods", "cart", "coupon", "wallet", "order", "payment", "user", "sms_package", "flash_sale"]

NEEDS: Mapping[Service, Sequence[Service]] = {
    "cart": ("goods",),
    "flash_sale": ("order",),
    "order": ("goods", "coupon", "wallet", "payment"),
    "sms_package": ("payment",),
    "wallet": ("payment",),
}
"""Which services a service calls."""

_EVERY_HOST = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]", "": "127.0.0.1"}
"""Where a process that listens on all addresses reaches itself."""


class Settings(RpcSettings):
    """Settings of order_rpc."""

    services: CommaSeparated[tuple[Service, ...]] = Field(
        (), description="Which services this process has, comma-separated; empty: all"
    )
    peer_order: str = Field("", description="Address of the order service; empty: this process has it")
    peer_goods: str = Field("", description="Address of the goods service; empty: this process has it")
    peer_coupon: str = Field("", description="Address of the coupon service; empty: this process has it")
    peer_wallet: str = Field("", description="Address of the wallet service; empty: this process has it")
    peer_payment: str = Field("", description="Address of the payment service; empty: this process has it")

    listen: str = Field("127.0.0.1:7103", description="Address to serve gRPC on")
    database_url: str = Field("sqlite:///var/order.db", description="SQLAlchemy URL of the orders")
    order_lifetime_minutes: int = Field(30, ge=1, le=60 * 24 * 30, description="How long an order waits for its money")
    recharge_lifetime_minutes: int = Field(
        40, ge=1, le=60 * 24, description="How long a recharge of a wallet waits for its money"
    )
    order_confirm_seconds: float = Field(
        60.0, ge=10, le=3600, description="How long an order may take what it needs, before it is cancelled"
    )
    flash_sale_attempt_seconds: float = Field(
        900.0,
        ge=10,
        le=86_400,
        description="How long an attempt in a flash sale waits for its coins before it is given up",
    )

    payment_channel_url: HttpUrl = Field(
        HttpUrl("http://127.0.0.1:8090"), description="Scheme, host and port of the payment channel"
    )
    payment_merchant_id: str = Field(min_length=1, max_length=32, description="Who we are to the payment channel")
    payment_secret: SecretStr = Field(min_length=16, description="HMAC key that the payment channel gave us")
    payment_notify_url: HttpUrl | None = Field(
        None, description="Where the payment channel tells of payments; unset: where it was told to once for all"
    )
    payment_timeout_seconds: float = Field(
        5.0, gt=0, le=15, description="Time of a call to a payment channel; two of them fit into a request's time"
    )
    payment_channel_wechat: WechatPaySettings | None = Field(
        None, description="A merchant of WeChat Pay as JSON, for a second channel; docs/configuration.md has each field"
    )
    payment_ask_again_seconds: float = Field(
        30.0, gt=0, le=3600, description="Least pause before a channel is asked again for what it did not answer"
    )

    user_token_keys: TokenKeys = Field(
        SecretStr(""),
        description="Keys of users' tokens, the same as the gateway's, as id:secret,id:secret; the first signs. "
        "Required with the user service",
    )
    access_token_seconds: int = Field(600, ge=10, le=3600, description="How long a user's access token lasts")
    refresh_token_days: int = Field(
        30, ge=1, le=365, description="How long a user's session lasts after its last refresh"
    )
    password_memory_kib: int = Field(
        19_456, ge=8, le=1 << 20, description="Memory of one Argon2id hash of a password; OWASP's least is the default"
    )
    password_rounds: int = Field(2, ge=1, le=100, description="Passes of one hash over its memory")
    password_hashes_at_once: int = Field(2, ge=1, le=64, description="Threads that hash passwords")

    @model_validator(mode="after")
    def _check_keys(self) -> Self:
        if "user" in (self.services or ("user",)) and not self.user_token_keys.get_secret_value():
            raise ValueError("BRANDMESH_USER_TOKEN_KEYS is required by the user service")
        return self

    @model_validator(mode="after")
    def _check_peers(self) -> Self:
        for service in self.services:
            for needed in NEEDS.get(service, ()):
                if needed not in self.services and not getattr(self, f"peer_{needed}"):
                    raise ValueError(
                        f"BRANDMESH_PEER_{needed.upper()} is required: {service} calls the {needed} service, "
                        "which is not among the services of this process"
                    )
        return self

    def address_of(self, service: str) -> str:
        """Where a service is reached: elsewhere, or in this process."""
        elsewhere: str = getattr(self, f"peer_{service}")
        host, _, port = self.listen.rpartition(":")
        return elsewhere or f"{_EVERY_HOST.get(host, host)}:{port}"
