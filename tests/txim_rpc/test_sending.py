"""Sends over the service's own rpcs: what leaves for Tencent, and what comes of its answers."""

from __future__ import annotations

from tests.txim_rpc.harness import MSG_TIME_SECONDS, SDK_APP_ID, SENT, Txim, told
from tests.txim_rpc.tencent_server import TencentServer
from txim_rpc.domain import Command


async def test_a_text_to_one_account(txim: Txim, tencent: TencentServer) -> None:
    result = await txim.send("desk-1", "Desk 1", msg_random=7, cloud_custom_data='{"call": 12}')
    assert (result.account, *told(result)) == ("desk-1", SENT, "", 0)
    assert tencent.commands == [Command.ACCOUNT_IMPORT, Command.SEND_MSG]
    imported, sent = tencent.asked
    assert imported.body == {"UserID": "desk-1", "Nick": "Desk 1"}
    assert 3590 <= sent.body.pop("MsgLifeTime") <= 3600
    assert sent.body == {
        "SyncOtherMachine": 2,
        "To_Account": "desk-1",
        "MsgRandom": 7,
        "MsgTimeStamp": MSG_TIME_SECONDS,
        "MsgBody": [{"MsgType": "TIMTextElem", "MsgContent": {"Text": "801 ordered 2 dumplings"}}],
        "CloudCustomData": '{"call": 12}',
    }
    assert sent.query.pop("usersig")
    assert 0 <= int(sent.query.pop("random")) < 1 << 32
    assert sent.query == {"sdkappid": str(SDK_APP_ID), "identifier": "administrator", "contenttype": "json"}
