"""UserSigs against the vendor's own maker of them."""

from __future__ import annotations

import asyncio
import base64
import json
import zlib

import pytest
import TLSSigAPIv2
from hypothesis import given
from hypothesis import strategies as st

from brandmesh.txim.v1 import txim_pb2 as pb
from tests.txim_rpc.harness import SDK_APP_ID, SECRET_KEY, SENT, Txim, make_settings, running_txim
from tests.txim_rpc.tencent_server import TencentServer, fail
from txim_rpc.domain import Command
from txim_rpc.user_sig import UserSigs, user_sig

DAY = 24 * 3600
KEY = "5f0cbe7d1a9e4c0f8b21-made-up"


def by_the_vendor(key: str, app_id: int, identifier: str, at: int, valid: int) -> str:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TLSSigAPIv2.time, "time", lambda: at)
        made: str = TLSSigAPIv2.TLSSigAPIv2(app_id, key).gen_sig(identifier, valid)
    return made


@given(
    st.text(st.characters(codec="utf-8"), min_size=1, max_size=64),
    st.integers(1, 2**31),
    st.text(st.characters(codec="utf-8"), min_size=1, max_size=32),
    st.integers(0, 2**33),
    st.integers(DAY, 180 * DAY),
)
def test_is_what_the_vendor_makes(key: str, app_id: int, identifier: str, at: int, valid: int) -> None:
    assert user_sig(key, app_id, identifier, at, valid) == by_the_vendor(key, app_id, identifier, at, valid)


def test_can_stand_in_an_address_and_does_not_hold_the_key() -> None:
    made = user_sig(KEY, 1400000042, "administrator", 1_700_000_000, 7 * DAY)
    assert set(made) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789*-_")
    standard = made.translate(str.maketrans("*-_", "+/="))
    fields = json.loads(zlib.decompress(base64.b64decode(standard, validate=True)))
    assert fields.pop("TLS.sig")
    assert fields == {
        "TLS.ver": "2.0",
        "TLS.identifier": "administrator",
        "TLS.sdkappid": 1400000042,
        "TLS.expire": 7 * DAY,
        "TLS.time": 1_700_000_000,
    }


class Clock:
    now = 1_700_000_000.5

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def user_sigs(clock: Clock) -> UserSigs:
    return UserSigs(KEY, 1400000042, "administrator", 7 * DAY, clock)


def test_is_used_again_until_half_of_its_time_is_over(clock: Clock, user_sigs: UserSigs) -> None:
    first = user_sigs.current()
    clock.now += 3.5 * DAY - 1
    assert user_sigs.current() == first
    clock.now += 1
    second = user_sigs.current()
    assert second == user_sig(KEY, 1400000042, "administrator", int(clock.now), 7 * DAY) != first
    assert user_sigs.current() == second


def test_is_not_of_the_future_when_the_clock_is_set_back(clock: Clock, user_sigs: UserSigs) -> None:
    clock.now -= 3600
    assert user_sigs.current() == user_sig(KEY, 1400000042, "administrator", int(clock.now), 7 * DAY)


def test_of_many_that_were_refused_the_first_makes_a_new_one(clock: Clock, user_sigs: UserSigs) -> None:
    refused = user_sigs.current()
    clock.now += 10
    renewed = user_sigs.renew(refused)
    clock.now += 10
    assert renewed != refused
    assert user_sigs.renew(refused) == renewed
    assert user_sigs.current() == renewed


async def test_calls_carry_one_until_it_is_old_or_refused(
    database_url: str, tencent: TencentServer, clock: Clock
) -> None:
    async with running_txim(make_settings(database_url, tencent.url), clock) as txim:
        begun_at = clock.now
        for seconds in (0, 3 * DAY, 4 * DAY):
            clock.now = begun_at + seconds
            assert (await send(txim)).outcome == SENT
        clock.now += 10
        tencent.script(Command.SEND_MSG, fail(70001))
        assert (await send(txim)).outcome == SENT
    made_at = [int(begun_at) + seconds for seconds in (0, 0, 0, 4 * DAY, 4 * DAY, 4 * DAY + 10)]
    assert [asked.query["usersig"] for asked in tencent.asked] == [
        user_sig(SECRET_KEY, SDK_APP_ID, "administrator", at, 7 * DAY) for at in made_at
    ]


async def test_calls_refused_at_once_share_a_new_one(database_url: str, tencent: TencentServer, clock: Clock) -> None:
    async with running_txim(make_settings(database_url, tencent.url), clock) as txim:
        assert (await send(txim)).outcome == SENT
        clock.now += 10
        before = len(tencent.asked)

        async def refuse_all(writer: asyncio.StreamWriter) -> None:
            await tencent.has_been_asked(before + 5)
            await fail(70001)(writer)

        tencent.script(Command.SEND_MSG, *[refuse_all] * 5)
        assert {result.outcome for result in await asyncio.gather(*[send(txim) for _ in range(5)])} == {SENT}
    assert len({asked.query["usersig"] for asked in tencent.asked}) == 2


async def send(txim: Txim) -> pb.SendResult:
    """Send what is of use by any of the clocks here."""
    return await txim.send(life_seconds=50 * 365 * DAY)
