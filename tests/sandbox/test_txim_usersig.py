import base64
import json
import time
import zlib

import pytest
import TLSSigAPIv2
from hypothesis import given
from hypothesis import strategies as st

from sandbox.txim.codes import RefusalError
from sandbox.txim.usersig import Gatekeeper, decode
from tests.sandbox.harness import (
    ADMINISTRATOR,
    SDKAPPID,
    TXIM_KEY,
    Sandbox,
    quick_settings,
    running_sandbox,
    section,
    txim_query,
    user_sig,
)

CHECK = "im_open_login_svc/account_check"
BODY = {"CheckItem": [{"UserID": "k1"}]}
PRINTABLE = st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=32)


def encode(claims: object) -> str:
    packed = base64.b64encode(zlib.compress(json.dumps(claims).encode())).decode()
    return packed.translate(str.maketrans("+/=", "*-_"))


@given(identifier=PRINTABLE, sdkappid=st.integers(1, 2**31 - 1), key=PRINTABLE, expire=st.integers(0, 10**9))
def test_what_tencents_library_signs_is_read_and_good(identifier: str, sdkappid: int, key: str, expire: int) -> None:
    claims = decode(user_sig(identifier, sdkappid, key, expire))

    assert (claims.identifier, claims.sdkappid, claims.expire_seconds) == (identifier, sdkappid, expire)
    assert abs(claims.signed_at - time.time()) < 60
    assert claims.is_signed_with(key)
    assert not claims.is_signed_with(key + "x")


def test_a_userbuf_is_part_of_what_is_signed() -> None:
    signed = decode(TLSSigAPIv2.TLSSigAPIv2(SDKAPPID, TXIM_KEY).gen_sig_with_userbuf("a", 60, b"room 7"))

    assert base64.b64decode(signed.userbuf) == b"room 7"
    assert signed.is_signed_with(TXIM_KEY)


@given(st.binary(max_size=200))
def test_no_bytes_break_the_reader(packed: bytes) -> None:
    for usersig in (base64.b64encode(packed).decode(), base64.b64encode(zlib.compress(packed)).decode()):
        with pytest.raises(RefusalError) as refused:
            decode(usersig.translate(str.maketrans("+/=", "*-_")))
        assert refused.value.code == 70003


@pytest.mark.parametrize(
    ("code", "query"),
    [
        (60012, {"sdkappid": ""}),
        (60012, {"sdkappid": "x"}),
        (60012, {"sdkappid": "²"}),
        (60012, {"sdkappid": "9" * 5000}),
        (70020, {"sdkappid": 1400000002}),
        (60004, {"identifier": ""}),
        (60004, {"usersig": ""}),
        (70003, {"usersig": "not-a-user-sig"}),
        (70003, {"usersig": user_sig()[:-9]}),
        (70003, {"usersig": "+" + user_sig()[1:]}),
        (70003, {"usersig": encode(["2.0"])}),
        (70003, {"usersig": encode({"TLS.ver": "1.0"})}),
        (70003, {"usersig": encode({"TLS.ver": "2.0", "TLS.identifier": 7})}),
        (70003, {"usersig": encode({"TLS.ver": "2.0", "padding": "x" * 1_000_000})}),
        (70014, {"usersig": user_sig(sdkappid=1400000002)}),
        (70013, {"usersig": user_sig("somebody")}),
        (70013, {"identifier": "somebody"}),
        (70009, {"usersig": user_sig(key="another")}),
        (70001, {"usersig": user_sig(expire_seconds=0)}),
        (60010, {"identifier": "k1", "usersig": user_sig("k1")}),
        (60002, {"random": ""}),
        (60002, {"random": 2**32}),
        (60002, {"random": -1}),
        (60002, {"random": "9" * 5000}),
        (60002, {"contenttype": "xml"}),
    ],
)
async def test_a_wrong_address_is_refused_with_its_code(
    sandbox: Sandbox, code: int, query: dict[str, str | int]
) -> None:
    answer = await sandbox.txim(CHECK, BODY, **query)

    assert (answer["ActionStatus"], answer["ErrorCode"]) == ("FAIL", code)
    assert answer["ErrorInfo"]
    assert section((await sandbox.stats("txim"))["refusals"]) == {str(code): 1}


async def test_a_forged_claim_breaks_the_signature(sandbox: Sandbox) -> None:
    claims = decode(user_sig(expire_seconds=1))
    forged = {
        "TLS.ver": "2.0",
        "TLS.identifier": ADMINISTRATOR,
        "TLS.sdkappid": SDKAPPID,
        "TLS.time": claims.signed_at,
        "TLS.expire": 10**9,
        "TLS.sig": claims.signature,
    }

    assert (await sandbox.txim(CHECK, BODY, usersig=encode(forged)))["ErrorCode"] == 70009


def test_a_user_sig_that_was_good_expires(monkeypatch: pytest.MonkeyPatch) -> None:
    gatekeeper = Gatekeeper(SDKAPPID, ADMINISTRATOR, TXIM_KEY)
    query = {name: str(value) for name, value in txim_query().items()}
    gatekeeper.authenticate(query)
    gatekeeper.authenticate(query)

    tomorrow = time.time() + 86_401
    monkeypatch.setattr(time, "time", lambda: tomorrow)
    with pytest.raises(RefusalError) as refused:
        gatekeeper.authenticate(query)
    assert refused.value.code == 70001


async def test_the_settings_choose_application_administrator_and_key() -> None:
    settings = quick_settings(txim_sdkappid=7, txim_administrator="chief", txim_secret_key="k")
    async with running_sandbox(settings) as sandbox:
        query: dict[str, str | int] = {"sdkappid": 7, "identifier": "chief", "usersig": user_sig("chief", 7, "k")}
        assert (await sandbox.txim(CHECK, BODY, **query))["ErrorCode"] == 0
        assert (await sandbox.txim(CHECK, BODY))["ErrorCode"] == 70020
