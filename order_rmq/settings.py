"""What operators can set."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, SecretStr, model_validator

from mesh.settings import CommaSeparated, RmqSettings
from order_rmq.smtp import Security

Service = Literal["goods", "cart", "coupon", "wallet", "order", "payment", "user", "sms_package", "flash_sale"]

SERVICES: tuple[Service, ...] = (
    "order", "goods", "cart", "coupon", "wallet", "payment", "sms_package", "flash_sale",
)  # fmt: skip
"""Those with messages or sweeps, which the service of users has not."""


class Settings(RmqSettings):
    """Settings of order_rmq."""

    services: CommaSeparated[tuple[Service, ...]] = Field(
        (),
        description="Which services of orders there are, in all processes together, comma-separated; empty: all. "
        "The others are not swept, and messages for them stop",
    )
    peer_order: str = Field(
        "127.0.0.1:7103", description="Address of order_rpc, of all its services that have no address of their own here"
    )
    peer_goods: str = Field("", description="Address of the goods service, where it has a process of its own")
    peer_cart: str = Field("", description="Address of the cart service, likewise")
    peer_coupon: str = Field("", description="Address of the coupon service, likewise")
    peer_wallet: str = Field("", description="Address of the wallet service, likewise")
    peer_payment: str = Field("", description="Address of the payment service, likewise")
    peer_flash_sale: str = Field("", description="Address of the service of flash sales, likewise")
    peer_sms_package: str = Field("", description="Address of the service of SMS packages, likewise")
    peer_costcenter: str = Field("127.0.0.1:7101", description="Address of costcenter_rpc")

    smtp_host: str = Field("", description="Mail server for reminders of sellers; empty: they stop until there is one")
    smtp_port: int = Field(587, ge=1, le=65535, description="Its port")
    smtp_security: Security = Field(
        "starttls", description="How the connection is secured: starttls (port 587), tls (port 465), or none"
    )
    smtp_username: str = Field("", description="Who logs in to it; empty: nobody")
    smtp_password: SecretStr = Field(SecretStr(""), description="Password of smtp_username")
    smtp_sender: str = Field("", description="Address that mails come from; required with smtp_host")
    smtp_timeout_seconds: float = Field(20.0, gt=0, le=120, description="Time of one step with the mail server")
    reminders_per_recipient_a_day: int = Field(
        50, ge=1, le=10_000, description="Reminders that one address gets within a day; further ones stop"
    )
    reminders_per_buyer_a_day: int = Field(
        20, ge=1, le=10_000, description="Reminders that one buyer has sent within a day; further ones stop"
    )

    @model_validator(mode="after")
    def _has_sender(self) -> Self:
        if self.smtp_host and not self.smtp_sender:
            raise ValueError("smtp_sender is required with smtp_host")
        return self

    def has(self, service: Service) -> bool:
        """Tell whether there is a service, anywhere."""
        return not self.services or service in self.services

    def address_of(self, service: str) -> str:
        """Where a service of order_rpc is. Raises KeyError for one that is not known, or that there is not."""
        if service not in SERVICES or not self.has(service):
            raise KeyError(service)
        return getattr(self, f"peer_{service}") or self.peer_order
