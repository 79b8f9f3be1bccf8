"""What operators can set: above all, which part of the queues a process takes."""

from __future__ import annotations

from pydantic import Field, ValidationInfo, field_validator

from mesh.settings import CommaSeparated, RmqSettings
from sms_rmq.providers.port import SmsMode, SmsType
from sms_rmq.providers.settings import BrandId, ProviderAccountSettings

_RECORDING_SECONDS = 5
"""What of the submit lease is left at least, when a provider's answer is there, to record it."""


class Settings(RmqSettings):
    """Settings of sms_rmq."""

    brands: CommaSeparated[frozenset[BrandId]] = Field(
        frozenset(), description="Only the queues of these brands, comma-separated; empty: all brands"
    )
    except_brands: CommaSeparated[frozenset[BrandId]] = Field(
        frozenset(), description="Not the queues of these brands: they have processes of their own"
    )
    types: CommaSeparated[frozenset[SmsType]] = Field(
        frozenset({"verification", "notification", "marketing"}),
        min_length=1,
        description="Only the queues of these types",
    )
    modes: CommaSeparated[frozenset[SmsMode]] = Field(
        frozenset({"single", "batch"}), min_length=1, description="Only the queues of these modes"
    )
    concurrency: int = Field(
        4, ge=1, le=64, description="Batches of one queue of single messages that are worked at once"
    )
    chunk_concurrency: int = Field(
        16,
        ge=1,
        le=64,
        description="Chunks of one queue of large sends that are worked at once",
    )
    chunk_concurrency_beside_singles: int = Field(
        2, ge=1, le=64, description="The same while single messages come: more chunks at once make codes slower"
    )
    handlers_max: int = Field(256, ge=1, le=1000, description="Batches of all queues that are worked at once")
    receipts: bool = Field(True, description="Also consume receipts, pull them, and sweep")

    peer_sms: str = Field("127.0.0.1:7102", description="Address of sms_rpc")
    peer_costcenter: str = Field("127.0.0.1:7101", description="Address of costcenter_rpc")
    provider_accounts: tuple[ProviderAccountSettings, ...] = Field(
        min_length=1, description="Provider accounts as a JSON list; docs/configuration.md has each field"
    )
    inbox_shards: int = Field(
        4, ge=1, le=64, description="Redis lists that receipts are spread over, as at the gateway"
    )
    pull_seconds: float = Field(30.0, ge=0, le=3600, description="Pause between two pulls of receipts; 0 pulls none")
    pace_before_sending_seconds: float = Field(
        0.01, ge=0, le=1, description="Least time between two claims, payments or charges, each of which takes many"
    )
    pace_after_sending_seconds: float = Field(
        0.05, ge=0, le=10, description="Least time between two calls that tell what became of messages"
    )
    claim_lease_seconds: int = Field(30, ge=5, le=3600, description="How long a claim holds until it is paid")
    submit_lease_seconds: int = Field(
        60,
        ge=5,
        le=3600,
        description="How long a submission may take before its outcome is unknown; "
        f"at least wait_seconds_max + timeout_seconds of every account + {_RECORDING_SECONDS}",
    )

    @field_validator("submit_lease_seconds")
    @classmethod
    def _outlasts_a_submission(cls, value: int, info: ValidationInfo) -> int:
        # Else the sweep makes unknown what is being submitted, and its answer changes nothing any more.
        for account in info.data.get("provider_accounts", ()):
            least = account.wait_seconds_max + account.timeout_seconds + _RECORDING_SECONDS
            if value < least:
                raise ValueError(
                    f"must be at least {least:g}: wait_seconds_max and timeout_seconds of the account {account.name},"
                    f" and {_RECORDING_SECONDS} s to record its answer"
                )
        return value
