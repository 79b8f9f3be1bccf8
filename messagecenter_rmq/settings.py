"""What operators can set: above all, which brands a process takes, and how much it hands over at once."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, ValidationInfo, field_validator

from mesh.settings import CommaSeparated, RmqSettings

BrandId = Annotated[int, Field(gt=0)]


class Settings(RmqSettings):
    """Settings of messagecenter_rmq."""

    brands: CommaSeparated[frozenset[BrandId]] = Field(
        frozenset(), description="Only the queues of these brands, comma-separated; empty: all brands"
    )
    except_brands: CommaSeparated[frozenset[BrandId]] = Field(
        frozenset(), description="Not the queues of these brands: they have processes of their own"
    )
    concurrency: int = Field(4, ge=1, le=64, description="Batches of one queue that are worked at once")
    handlers_max: int = Field(32, ge=1, le=1000, description="Batches of all queues that are worked at once")

    peer_messagecenter: str = Field("127.0.0.1:7104", description="Address of messagecenter_rpc")
    peer_txim: str = Field("127.0.0.1:7105", description="Address of txim_rpc")
    batch_recipients_max: int = Field(
        500, ge=1, le=500, description="Accounts that get a message in one call; 1 sends each message by itself"
    )
    sends_in_flight_max: int = Field(
        200,
        ge=1,
        le=10_000,
        description="Records that txim_rpc is sending at once, by each of its two calls; a call of more goes alone",
    )
    send_timeout_seconds: int = Field(20, ge=1, le=300, description="How long txim_rpc may take for a call")
    lease_seconds: int = Field(
        60,
        ge=5,
        le=3600,
        description="How long a claim holds, at least twice send_timeout_seconds; a crash delays by it",
    )

    @field_validator("lease_seconds")
    @classmethod
    def _outlasts_a_send(cls, value: int, info: ValidationInfo) -> int:
        # No send is begun that may outlast the lease. With little time besides, a backlog would only be given back.
        if value < 2 * info.data.get("send_timeout_seconds", 0):
            raise ValueError("must be at least twice send_timeout_seconds")
        return value
