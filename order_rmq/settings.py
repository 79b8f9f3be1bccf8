"""What operators can set."""

from __future__ import annotations

from pydantic import Field

from mesh.settings import RmqSettings


class Settings(RmqSettings):
    """Settings of order_rmq."""

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

    def address_of(self, service: str) -> str:
        """Where a service of order_rpc is. Raises KeyError for one that is not known."""
        if service == "order":
            return self.peer_order
        name = f"peer_{service}"
        if name not in type(self).model_fields:
            raise KeyError(service)
        return getattr(self, name) or self.peer_order
