"""What operators can set.

The limits are Tencent's for one app, and each process keeps them by itself: where several processes share an app, each
gets its share of them.
"""

from __future__ import annotations

from pydantic import Field, HttpUrl, SecretStr

from mesh.settings import RpcSettings

_DAY_SECONDS = 24 * 3600


class Settings(RpcSettings):
    """Settings of txim_rpc."""

    listen: str = Field("127.0.0.1:7105", description="Address to serve gRPC on")
    database_url: str = Field("sqlite:///var/txim.db", description="SQLAlchemy URL of the imported accounts")

    txim_url: HttpUrl = Field(
        HttpUrl("https://console.tim.qq.com"), description="Scheme and host of Tencent Cloud IM's REST API"
    )
    txim_sdk_app_id: int = Field(gt=0, description="SDKAppID of the app")
    txim_admin: str = Field(
        "administrator", min_length=1, max_length=32, description="UserID of the app's administrator, who sends"
    )
    txim_secret_key: SecretStr = Field(min_length=1, description="Secret key of the app, which UserSigs are made with")
    txim_user_sig_seconds: int = Field(
        7 * _DAY_SECONDS, ge=_DAY_SECONDS, le=180 * _DAY_SECONDS, description="How long a UserSig is valid"
    )

    send_per_second: int = Field(200, ge=2, le=100_000, description="Calls of sendmsg in any second, by this process")
    batch_send_per_second: int = Field(
        200, ge=2, le=100_000, description="Calls of batchsendmsg in any second, by this process"
    )
    batch_recipients_per_minute: int = Field(
        12_000, ge=1000, le=10_000_000, description="Recipients of batchsendmsg in any minute, by this process"
    )
    import_per_second: int = Field(
        200, ge=2, le=100_000, description="Calls of account_import in any second, by this process"
    )
    multiaccount_import_per_second: int = Field(
        100, ge=2, le=100_000, description="Calls of multiaccount_import in any second, by this process"
    )
    account_check_per_second: int = Field(
        100, ge=2, le=100_000, description="Calls of account_check in any second, by this process"
    )
    online_status_per_second: int = Field(
        200, ge=2, le=100_000, description="Calls of query_online_status in any second, by this process"
    )
    wait_seconds_max: float = Field(
        5.0, gt=0, le=60, description="How long a call may wait for its turn before it is put back"
    )
    waiting_max: int = Field(
        2000, ge=1, le=100_000, description="Calls of one command that may wait for their turn at once"
    )

    connect_timeout_seconds: float = Field(3.0, gt=0, le=60, description="Time to connect; nothing is sent before")
    call_timeout_seconds: float = Field(
        5.0, gt=0, le=60, description="Time of a whole call; then its outcome is unknown"
    )
    keep_alive_seconds: float = Field(
        15.0, gt=0, le=600, description="Idle connections are closed by then; keep it below Tencent's own time"
    )
    connections_max: int = Field(32, ge=1, le=1000, description="Calls of one command at once")

    circuit_failures_max: int = Field(5, ge=1, le=1000, description="Failed calls in a row that open the circuit")
    circuit_open_seconds: float = Field(15.0, gt=0, le=3600, description="How long failed calls keep it open")
    circuit_stop_seconds: float = Field(
        60.0, gt=0, le=3600, description="How long a refused app keeps it open before a call tries again"
    )

    accounts_cached_max: int = Field(
        100_000, ge=1000, le=10_000_000, description="Imported accounts that are remembered without asking the database"
    )
