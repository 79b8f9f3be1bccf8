from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import aiohttp
import pytest

from sms_rmq.providers.chuanglan import ChuangLan
from sms_rmq.providers.port import Recipient, SmsMode, SmsType, Submission
from sms_rmq.providers.settings import ProviderAccountSettings
from sms_rmq.providers.wiring import open_session

PASSWORD = "sandbox-password"

SettingsMaker = Callable[..., ProviderAccountSettings]
SubmissionMaker = Callable[..., Submission]
ProviderMaker = Callable[[ProviderAccountSettings], ChuangLan]


@pytest.fixture
def make_settings() -> SettingsMaker:
    def make(base_url: str = "http://127.0.0.1:9", **changes: object) -> ProviderAccountSettings:
        fields = {"name": "main", "base_url": base_url, "account": "N1000001", "password": PASSWORD}
        return ProviderAccountSettings.model_validate(fields | changes)

    return make


@pytest.fixture
def make_submission() -> SubmissionMaker:
    def make(
        *phones: str,
        text: str = "【Blue Bay】Your table is ready",
        params: tuple[str, ...] | None = None,
        dispatch_id: int = 4711,
        brand_id: int = 7,
        sms_type: SmsType = "verification",
        mode: SmsMode | None = None,
    ) -> Submission:
        return Submission(
            dispatch_id=dispatch_id,
            brand_id=brand_id,
            sms_type=sms_type,
            mode=mode or ("batch" if len(phones) > 1 else "single"),
            text=text,
            variable=params is not None,
            recipients=[Recipient(phone, params or ()) for phone in phones or ("+8613800138000",)],
        )

    return make


@pytest.fixture
async def make_provider() -> AsyncIterator[ProviderMaker]:
    sessions: list[aiohttp.ClientSession] = []

    def make(settings: ProviderAccountSettings) -> ChuangLan:
        sessions.append(open_session(settings))
        return ChuangLan(settings, sessions[-1])

    yield make
    for session in sessions:
        await session.close()
