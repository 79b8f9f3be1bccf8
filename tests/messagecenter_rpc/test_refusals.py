"""What is refused, by the name of its field; nothing is stored then."""

from __future__ import annotations

import json
from typing import Any

import pytest

from brandmesh.messagecenter.v1 import im_call_pb2
from mesh.errors import DomainError
from messagecenter_rpc import tables
from tests.messagecenter_rpc.harness import (
    BRAND,
    CALL_SCREEN,
    CASH_DESK,
    KITCHEN,
    NOTIFICATION,
    OTHER_BRAND,
    OTHER_SHOP,
    PAD_CALL,
    REFRESH,
    ROOM_PAD,
    MessageCenter,
    refused,
)

Designated = im_call_pb2.DesignatedAccount


@pytest.mark.parametrize(
    ("field", "changes"),
    [
        ("brandId", {"brandId": 0}),
        ("brandId", {"brandId": 1 << 53}),
        ("shopId", {"shopId": 0}),
        ("event", {"event": 0}),
        ("event", {"event": 17}),
        ("MsgType", {"MsgType": 0}),
        ("MsgType", {"MsgType": 5}),
        ("Channels", {"Channels": []}),
        ("Channels", {"Channels": [KITCHEN, KITCHEN]}),
        ("Channels[0]", {"Channels": [0]}),
        ("Channels[1]", {"Channels": [KITCHEN, 7]}),
        ("callParams[1st]", {"callParams": {"1st": "x"}}),
        ("callParams", {"callParams": {f"name{number}": "" for number in range(65)}}),
        ("callParams[roomName]", {"callParams": {"roomName": "80\x001"}}),
        ("callParams[roomName]", {"callParams": {"roomName": "80\t1"}}),
        ("callParams[roomName]", {"callParams": {"roomName": "80\x7f1"}}),
        ("designatedList[0].account", {"designatedList": [Designated(channel=KITCHEN, account="a b")]}),
        ("designatedList[0].channel", {"designatedList": [Designated(account="a")]}),
        ("designatedList", {"designatedList": [Designated(channel=KITCHEN, account="a")] * 501}),
        ("msgTemplateId", {"msgTemplateId": -1}),
        ("request_id", {"request_id": ""}),
        ("request_id", {"request_id": "with a blank"}),
    ],
)
async def test_what_breaks_the_contract_is_refused(center: MessageCenter, field: str, changes: dict[str, Any]) -> None:
    await center.device()
    with refused("INVALID_REQUEST", field):
        await center.send(**{"MsgType": REFRESH, **changes})
    await _nothing_is_stored(center)


async def test_a_pad_call_needs_a_template(center: MessageCenter) -> None:
    await center.configure(template_id=await center.template())
    await center.device()
    with refused("INVALID_REQUEST", "msgTemplateId"):
        await center.send(MsgType=PAD_CALL)
    await _nothing_is_stored(center)


async def test_a_template_has_to_be_the_brands(center: MessageCenter) -> None:
    await center.device()
    of_other = await center.template(brand_id=OTHER_BRAND)
    deleted = await center.template()
    await center.delete_template(deleted)
    for template_id in (1, of_other, deleted):
        for msg_type in (PAD_CALL, NOTIFICATION, REFRESH):
            with refused("INVALID_REQUEST", "msgTemplateId"):
                await center.send(MsgType=msg_type, msgTemplateId=template_id)
    await _nothing_is_stored(center)


async def test_a_designated_account_has_to_be_of_the_shop_and_the_channel(center: MessageCenter) -> None:
    pad = await center.device(channel=ROOM_PAD, location="801")
    elsewhere = await center.device(channel=KITCHEN, shop_id=OTHER_SHOP, location="cellar")
    others = await center.device(channel=KITCHEN, brand_id=OTHER_BRAND, location="attic")
    wrong = {
        "designatedList[1].channel": [Designated(channel=CALL_SCREEN, account=pad.account)],
        "designatedList[1].account": [
            Designated(channel=KITCHEN),
            Designated(channel=ROOM_PAD, account=pad.account, location="801"),
            Designated(channel=KITCHEN, account=pad.account),
            Designated(channel=KITCHEN, account=elsewhere.account),
            Designated(channel=KITCHEN, account=others.account),
            Designated(channel=KITCHEN, account="nobody"),
        ],
        "designatedList[1].location": [
            Designated(channel=KITCHEN, location="801"),
            Designated(channel=KITCHEN, location="cellar"),
            Designated(channel=KITCHEN, location="attic"),
            Designated(channel=ROOM_PAD, location="802"),
        ],
    }
    good = Designated(channel=ROOM_PAD, account=pad.account)
    for field, designated in wrong.items():
        for one in designated:
            with refused("INVALID_REQUEST", field):
                await center.send(KITCHEN, ROOM_PAD, MsgType=REFRESH, designatedList=[good, one])
    await _nothing_is_stored(center)


async def test_every_wrong_field_is_named_at_once(center: MessageCenter) -> None:
    with refused(
        "INVALID_REQUEST", "msgTemplateId", "callParams[a]", "designatedList[0].channel", "designatedList[1].account"
    ):
        await center.send(
            MsgType=PAD_CALL,
            callParams={"a": "\x1b"},
            designatedList=[Designated(channel=CASH_DESK, account="a"), Designated(channel=KITCHEN, account="a")],
        )


# The most that a text may have: 12 KB, less the envelope and what JSON puts around it.
_AROUND_TEXT = len(json.dumps([{"MsgType": "TIMTextElem", "MsgContent": {"Text": ""}}], separators=(",", ":")))


@pytest.mark.parametrize(("character", "character_bytes"), [("x", 1), ("水", 3), ('"', 2), ("\n", 2), ("🥟", 4)])
async def test_a_text_may_have_what_tencent_takes_and_not_a_byte_more(
    center: MessageCenter, character: str, character_bytes: int
) -> None:
    await center.device()
    template_id = await center.template("{a}{missing}")
    fits = (12_288 - 512 - _AROUND_TEXT) // character_bytes
    await center.send(MsgType=PAD_CALL, msgTemplateId=template_id, callParams={"a": character * fits})
    with refused("INVALID_REQUEST", "callParams"):
        await center.send(MsgType=PAD_CALL, msgTemplateId=template_id, callParams={"a": character * (fits + 1)})
    assert len(await center.rows(tables.call)) == 1


async def test_a_parameter_that_is_used_often_counts_often(center: MessageCenter) -> None:
    await center.device()
    template_id = await center.template("{a}" * 64)
    with refused("INVALID_REQUEST", "callParams"):
        await center.send(MsgType=PAD_CALL, msgTemplateId=template_id, callParams={"a": "x" * 200})
    await _nothing_is_stored(center)


async def test_the_configured_template_counts_too(center: MessageCenter) -> None:
    await center.device()
    await center.configure(template_id=await center.template("{a}{a}"))
    with refused("INVALID_REQUEST", "callParams"):
        await center.send(callParams={"a": "x" * 6_000})
    await _nothing_is_stored(center)


async def test_parameters_that_no_text_takes_are_bounded_all_the_same(center: MessageCenter) -> None:
    await center.device()
    template_id = await center.template("short")
    for changes in ({"MsgType": REFRESH}, {"MsgType": PAD_CALL, "msgTemplateId": template_id}):
        with refused("INVALID_REQUEST", "callParams"):
            await center.send(callParams={"a": "x" * 12_281}, **changes)
    await _nothing_is_stored(center)


async def test_a_missing_parameter_is_not_refused_here(center: MessageCenter) -> None:
    await center.device()
    await center.configure(template_id=await center.template())
    assert (await center.send(callParams={})).record_count == 1


async def test_another_brand_sees_nothing(center: MessageCenter) -> None:
    await center.device()
    response = await center.send(MsgType=REFRESH)
    for read in (center.get, center.cancel, center.list_records):
        with refused("IM_CALL_NOT_FOUND"):
            await read(response.call_id, OTHER_BRAND)
        with refused("IM_CALL_NOT_FOUND"):
            await read("1")
    assert (await center.rows())[0]["status"] == "QUEUED"
    assert (await center.list_calls(OTHER_BRAND)).calls == []
    assert len((await center.list_calls(BRAND)).calls) == 1


async def test_refusals_can_be_told_from_failures(center: MessageCenter) -> None:
    with pytest.raises(DomainError) as caught:
        await center.send(MsgType=PAD_CALL)
    assert not caught.value.is_retryable


async def _nothing_is_stored(center: MessageCenter) -> None:
    assert await center.rows(tables.call) == []
    assert await center.rows(tables.record) == []
