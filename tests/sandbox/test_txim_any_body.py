import contextlib
import json

from hypothesis import given
from hypothesis import strategies as st

from sandbox.faults import FaultBoard
from sandbox.txim.accounts import AccountBook, OnlineState
from sandbox.txim.cards import is_spoken, render_card
from sandbox.txim.codes import RefusalError
from sandbox.txim.feed import Feed
from sandbox.txim.imports import first_account
from sandbox.txim.journal import Journal
from sandbox.txim.limits import Limits
from sandbox.txim.platform import Platform
from sandbox.txim.repeats import RepeatMemory
from tests.sandbox.harness import Json

NAMES = st.sampled_from(
    [
        *("To_Account", "From_Account", "UserID", "Identifier", "Nick", "FaceUrl", "AccountList", "Accounts"),
        *("CheckItem", "MsgRandom", "MsgTimeStamp", "MsgLifeTime", "MsgSeq", "MsgBody", "MsgType", "MsgContent"),
        *("Text", "Data", "CloudCustomData", "SyncOtherMachine"),
    ]
)
TEXTS = st.sampled_from(["k1", "k2", "TIMTextElem", "TIMCustomElem", '{"event":{},"params":{"a":[]}}', "<b>", ""])
SCALARS = st.none() | st.booleans() | st.integers(-1, 2**33) | st.floats(allow_nan=False) | TEXTS
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4))
ELEMENT = st.fixed_dictionaries(
    {"MsgType": st.sampled_from(["TIMTextElem", "TIMCustomElem"])},
    optional={"MsgContent": st.dictionaries(st.sampled_from(["Text", "Data"]), TEXTS | VALUES)},
)
BODIES = st.dictionaries(NAMES, VALUES) | st.fixed_dictionaries(
    {"To_Account": TEXTS | st.lists(TEXTS, max_size=3), "MsgRandom": st.integers(0, 9), "MsgBody": st.lists(ELEMENT)},
    optional={"CloudCustomData": TEXTS | VALUES, "MsgTimeStamp": VALUES},
)


def new_platform() -> Platform:
    return Platform(
        administrator="administrator",
        online_state_field="State",
        accounts=AccountBook(10, OnlineState.ONLINE),
        journal=Journal(100),
        repeats=RepeatMemory(100),
        limits=Limits(1000, 1000),
        feed=Feed(1, 100),
        board=FaultBoard(1, ()),
    )


@given(st.lists(BODIES, max_size=5))
def test_any_body_is_answered_or_refused_and_what_is_kept_can_be_shown(bodies: list[Json]) -> None:
    platform = new_platform()
    platform.put_account("k1", "kitchen main")
    for body in bodies:
        first_account(body)
        for act in (
            platform.send,
            platform.send_batch,
            platform.import_account,
            platform.import_accounts,
            platform.check_accounts,
            platform.query_online_status,
        ):
            with contextlib.suppress(RefusalError):
                json.dumps(act(body)).encode()

    for account in platform.accounts:
        assert render_card(account, platform.journal, 4)
    messages = platform.journal.latest(0, 100)
    assert [message.sequence for message in messages] == list(range(len(messages), 0, -1))
    for message in messages:
        json.dumps(message.describe()).encode()
        is_spoken(message.content)
