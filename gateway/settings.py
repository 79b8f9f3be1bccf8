"""What the gateway reads from its environment and its command line."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated

from pydantic import BeforeValidator, Field, SecretStr

from mesh.access_tokens import TokenKeys
from mesh.settings import CommaSeparated, ProcessSettings

# Python's own function says what is wrong with a network; pydantic's union of two kinds does not.
Network = Annotated[IPv4Network | IPv6Network, BeforeValidator(ip_network)]


class Settings(ProcessSettings):
    """Settings of the gateway. Limits are per process."""

    listen: str = Field("127.0.0.1:8080", description="Address to serve HTTP on")
    trusted_proxies: str = Field(
        "",
        description="Addresses or networks of proxies whose X-Forwarded-For is believed, comma-separated; empty: none",
    )
    database_url: str = Field(description="SQLAlchemy URL of the gateway's own database")
    database_pool_size: int = Field(8, ge=1, le=100, description="Connections to a server database")
    migrate: bool = Field(True, description="Bring the database's tables up to date before serving")
    redis_url: str = Field("redis://127.0.0.1:6379/0", description="Redis or Valkey that takes the receipts")

    peer_sms: str = Field(description="Address of sms_rpc")
    peer_costcenter: str = Field(description="Address of costcenter_rpc")
    peer_order: str = Field(description="Address of order_rpc")
    peer_messagecenter: str = Field(description="Address of messagecenter_rpc")
    peer_user: str = Field("", description="Address of the user service; empty: order_rpc")
    peer_goods: str = Field("", description="Address of the goods service; empty: order_rpc")
    peer_cart: str = Field("", description="Address of the cart service; empty: order_rpc")
    peer_coupon: str = Field("", description="Address of the coupon service; empty: order_rpc")
    peer_wallet: str = Field("", description="Address of the wallet service; empty: order_rpc")
    peer_payment: str = Field("", description="Address of the payment service; empty: order_rpc")
    peer_sms_package: str = Field("", description="Address of the service of SMS packages; empty: order_rpc")
    peer_flash_sale: str = Field("", description="Address of the service of flash sales; empty: order_rpc")
    message_bytes_max: int = Field(32 << 20, ge=1 << 16, description="Largest gRPC message sent or taken")
    request_timeout_seconds: float = Field(10.0, gt=0, le=600, description="Time for a call to a service")
    large_request_timeout_seconds: float = Field(60.0, gt=0, le=600, description="The same for a body of 1 MiB or more")
    coalesce_batch_max: int = Field(256, ge=1, le=1000, description="Single requests that go to a service in one call")
    coalesce_pending_max: int = Field(4096, ge=1, description="Single requests of one rpc that wait for a call at most")
    coalesce_in_flight_max: int = Field(4, ge=1, le=64, description="Such calls of one rpc under way at once")

    key_cache_seconds: float = Field(5.0, ge=0, le=300, description="How long a revoked API key may still work")
    rate_per_second: float = Field(200.0, gt=0, description="Requests a second that one API key may make")
    rate_burst: int = Field(400, ge=1, description="Requests that one API key may make at once")
    user_token_keys: TokenKeys = Field(
        SecretStr(""),
        description="Keys of users' tokens, the same as the user service's, as id:secret,id:secret; "
        "empty: no user is let in",
    )
    user_rate_per_second: float = Field(20.0, gt=0, description="Requests a second that one user may make")
    user_rate_burst: int = Field(40, ge=1, description="Requests that one user may make at once")
    address_rate_per_second: float = Field(
        5.0, gt=0, description="Requests a second that one address may make where nobody has to be known"
    )
    address_rate_burst: int = Field(50, ge=1, description="Requests that one address may make so at once")
    requests_in_flight_max: int = Field(1024, ge=1, description="Requests under way at once")
    body_bytes_max: int = Field(16 << 20, ge=1024, description="Largest body of a request with an API key")
    body_bytes_in_flight_max: int = Field(256 << 20, ge=1024, description="Bodies in memory together")
    body_timeout_seconds: float = Field(
        30.0, gt=0, le=600, description="Time for the body of a request with an API key to arrive"
    )
    body_without_key_bytes_max: int = Field(
        256 << 10, ge=1024, description="Largest body of a request of a user, or of anybody"
    )
    body_without_key_timeout_seconds: float = Field(10.0, gt=0, le=600, description="Time for such a body to arrive")
    drain_notice_seconds: float = Field(
        1.0, ge=0, le=120, description="How long /readyz says 503 before connections are refused, for a load balancer"
    )

    chuanglan_webhook_secret: SecretStr = Field(SecretStr(""), description="Secret path segment; empty: no webhook")
    chuanglan_webhook_receiver: str = Field("", description="`receiver` that the provider sends")
    chuanglan_webhook_password: SecretStr = Field(SecretStr(""), description="`pswd` that the provider sends")
    chuanglan_webhook_networks: CommaSeparated[tuple[Network, ...]] = Field(
        (), description="Networks that the provider calls from, comma-separated; empty: any"
    )
    inbox_shards: int = Field(4, ge=1, le=64, description="Redis lists that receipts are spread over")
