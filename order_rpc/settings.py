"""What operators can set."""

from __future__ import annotations

from pydantic import Field, HttpUrl, SecretStr

from mesh.settings import RpcSettings
from order_rpc.domain import Policy

_MINUTE_MS = 60_000


class Settings(RpcSettings):
    """Settings of order_rpc."""

    listen: str = Field("127.0.0.1:7103", description="Address to serve gRPC on")
    database_url: str = Field("sqlite:///var/order.db", description="SQLAlchemy URL of the orders")
    order_lifetime_minutes: int = Field(30, ge=1, le=60 * 24 * 30, description="How long an order waits for its money")
    republish_seconds: float = Field(
        60.0, gt=0, le=3600, description="Least pause before the event of a paid order is published again"
    )
    republish_seconds_max: float = Field(3600.0, gt=0, le=86_400, description="Longest such pause; they double")

    payment_channel_url: HttpUrl = Field(
        HttpUrl("http://127.0.0.1:8090"), description="Scheme, host and port of the payment channel"
    )
    payment_merchant_id: str = Field(min_length=1, max_length=32, description="Who we are to the payment channel")
    payment_secret: SecretStr = Field(min_length=16, description="HMAC key that the payment channel gave us")
    payment_notify_url: HttpUrl | None = Field(
        None, description="Where the payment channel tells of payments; unset: where it was told to once for all"
    )
    payment_timeout_seconds: float = Field(
        5.0, gt=0, le=15, description="Time of a call to the payment channel; two of them fit into a request's time"
    )

    @property
    def policy(self) -> Policy:
        """The service's policy."""
        return Policy(
            order_lifetime_ms=self.order_lifetime_minutes * _MINUTE_MS,
            republish_after_ms=int(self.republish_seconds * 1000),
            republish_after_ms_max=int(self.republish_seconds_max * 1000),
        )
