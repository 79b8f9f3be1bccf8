from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sms_rmq.providers.chuanglan import ChuangLanCallbacks
from sms_rmq.providers.port import MalformedCallbackError, Receipt, Uplink, Verdict

PUSHED = {
    "receiver": "r",
    "pswd": "p",
    "msgid": "00041010383624511",
    "reportTime": "2511211044",
    "mobile": "13800138000",
    "notifyTime": "251121104455",
    "uid": "4711",
    "length": "2",
    "status": "DELIVRD",
    "statusDesc": "短信发送成功",
}
PULLED = {
    "uid": "4711",
    "reportTime": "2511211044",
    "notifyTime": "251121104455",
    "status": "DELIVRD",
    "msgId": "00041010383624511",
    "statusDesc": "短信发送成功",
    "mobile": "13800138000",
    "length": "2",
}
PUSHED_UPLINK = {
    "receiver": "r",
    "pswd": "p",
    "moTime": "2511211044",
    "mobile": "13800138000",
    "msg": "TD",
    "destcode": "10690000",
    "spCode": "10690000",
    "notifyTime": "251121104455",
}
CALLBACKS = ChuangLanCallbacks()


def test_reads_a_pushed_and_a_pulled_receipt_alike() -> None:
    receipt = Receipt(4711, "+8613800138000", "00041010383624511", Verdict.DELIVERED, "DELIVRD", 2)
    assert CALLBACKS.parse_receipt(PUSHED) == receipt
    assert CALLBACKS.parse_pulled_receipt(PULLED) == receipt


@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        ("DELIVRD", Verdict.DELIVERED),
        ("UNKNOWN", Verdict.PENDING),
        ("ACCEPTD", Verdict.PENDING),
        ("ENROUTE", Verdict.PENDING),
        *[
            (s, Verdict.UNDELIVERED)
            for s in ("UNDELIV", "REJECTD", "EXPIRED", "MBBLACK", "REJECT", "SM11", "-1", "delivrd")
        ],
    ],
)
def test_delivrd_alone_is_success(status: str, verdict: Verdict) -> None:
    receipt = CALLBACKS.parse_receipt(PUSHED | {"status": status})
    assert (receipt.verdict, receipt.provider_code) == (verdict, status)


@pytest.mark.parametrize("length", [None, ""])
def test_a_receipt_may_leave_out_what_was_billed(length: str | None) -> None:
    query = {name: value for name, value in PUSHED.items() if name != "length"}
    assert CALLBACKS.parse_receipt(query if length is None else query | {"length": length}).billed_segments == 0


@pytest.mark.parametrize("name", ["uid", "mobile", "status"])
def test_names_a_missing_field(name: str) -> None:
    query = {each: value for each, value in PUSHED.items() if each != name}
    with pytest.raises(MalformedCallbackError) as caught:
        CALLBACKS.parse_receipt(query)
    assert caught.value.field == name


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("uid", "0"),
        ("uid", "-1"),
        ("uid", "abc"),
        ("uid", "9223372036854775808"),
        ("uid", "1" * 40),
        ("uid", "\u0661"),
        ("mobile", "138 0013 8000"),
        ("mobile", "0138"),
        ("mobile", "1" * 30),
        ("length", "-1"),
        ("length", "two"),
        ("length", "1001"),
        ("status", "X" * 33),
        ("msgid", "1" * 65),
        ("msgid", "1\x002"),
        ("status", "DELIVRD\x00"),
        ("status", "\x1bX"),
    ],
)
def test_names_a_field_that_the_record_could_not_hold(name: str, value: str) -> None:
    with pytest.raises(MalformedCallbackError) as caught:
        CALLBACKS.parse_receipt(PUSHED | {name: value})
    assert caught.value.field == name


@pytest.mark.parametrize(
    ("mobile", "mainland", "international"),
    [
        ("13800138000", "+8613800138000", "+13800138000"),
        ("8613800138000", "+8613800138000", "+8613800138000"),
        ("+8613800138000", "+8613800138000", "+8613800138000"),
        ("85291234567", "+85291234567", "+85291234567"),
        ("0085291234567", "+85291234567", "+85291234567"),
        ("14155552671", "+8614155552671", "+14155552671"),
    ],
)
def test_the_kind_of_account_decides_whose_eleven_digits_they_are(
    mobile: str, mainland: str, international: str
) -> None:
    query = PUSHED | {"mobile": mobile}
    assert ChuangLanCallbacks().parse_receipt(query).phone_e164 == mainland
    assert ChuangLanCallbacks(international=True).parse_receipt(query).phone_e164 == international


def test_reads_a_pushed_and_a_pulled_uplink_alike() -> None:
    uplink = Uplink("+8613800138000", "TD", "10690000", "2511211044")
    pulled = {
        "spCode": "1",
        "moTime": "2511211044",
        "messageContent": "TD",
        "destCode": "10690000",
        "mobile": "13800138000",
    }
    assert CALLBACKS.parse_uplink(PUSHED_UPLINK) == uplink
    assert CALLBACKS.parse_pulled_uplink(pulled) == uplink


def test_reads_a_part_of_a_long_uplink() -> None:
    uplink = CALLBACKS.parse_uplink(PUSHED_UPLINK | {"isems": "1", "emshead": "200,3,2"})
    assert (uplink.part_group, uplink.part_number, uplink.part_count) == ("200", 2, 3)


@pytest.mark.parametrize("head", ["200,3", "200,3,4", "200,3,0", "200,256,1", ",3,1", "200,3,1,1", "a b,3,1"])
def test_refuses_a_part_that_cannot_be_put_together(head: str) -> None:
    with pytest.raises(MalformedCallbackError) as caught:
        CALLBACKS.parse_uplink(PUSHED_UPLINK | {"emshead": head})
    assert caught.value.field == "emshead"


def test_refuses_an_uplink_longer_than_the_record() -> None:
    assert CALLBACKS.parse_uplink(PUSHED_UPLINK | {"msg": "x" * 2000}).content == "x" * 2000
    with pytest.raises(MalformedCallbackError) as caught:
        CALLBACKS.parse_uplink(PUSHED_UPLINK | {"msg": "x" * 2001})
    assert caught.value.field == "msg"


@pytest.mark.parametrize(
    ("name", "value"), [("msg", "T\x00D"), ("msg", "\x1bTD"), ("destcode", "\x00"), ("moTime", "\x7f")]
)
def test_refuses_an_uplink_with_control_characters(name: str, value: str) -> None:
    with pytest.raises(MalformedCallbackError) as caught:
        CALLBACKS.parse_uplink(PUSHED_UPLINK | {name: value})
    assert caught.value.field == name


def test_an_uplink_may_have_lines() -> None:
    assert CALLBACKS.parse_uplink(PUSHED_UPLINK | {"msg": "Yes,\r\n\tplease"}).content == "Yes,\r\n\tplease"


FIELDS = st.dictionaries(
    st.sampled_from([*PUSHED, "msg", "moTime", "destcode", "emshead", "msgId"]),
    st.one_of(st.text(max_size=70), st.integers().map(str), st.sampled_from(["13800138000", "DELIVRD", "1,2,1"])),
)


@given(FIELDS, st.booleans())
def test_any_query_is_read_within_bounds_or_refused_by_name(query: dict[str, str], international: bool) -> None:
    callbacks = ChuangLanCallbacks(international=international)
    for parse in (callbacks.parse_receipt, callbacks.parse_uplink):
        try:
            value = parse(query)
        except MalformedCallbackError:
            continue
        assert value.phone_e164.startswith("+")
        assert len(value.phone_e164) <= 24
        if isinstance(value, Receipt):
            assert 0 < value.dispatch_id < 1 << 63
            assert 0 <= value.billed_segments <= 1000
            assert len(value.provider_message_id) <= 64
            assert 0 < len(value.provider_code) <= 32
