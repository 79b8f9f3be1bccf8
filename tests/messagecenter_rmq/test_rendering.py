"""What a message carries."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from brandmesh.messagecenter.v1 import im_call_pb2
from messagecenter_rmq.rendering import CONTENT_BYTES_MAX, RenderError, render
from tests.messagecenter_rmq.deliveries import PARAMS, TEXT, delivery

REFRESH = im_call_pb2.ENUM_IM_CALL_MSG_TYPE_REFRESH
SPOKEN_OR_SHOWN = {
    "broadcast": im_call_pb2.ENUM_IM_CALL_MSG_TYPE_BROADCAST,
    "notification": im_call_pb2.ENUM_IM_CALL_MSG_TYPE_NOTIFICATION,
    "pad_call": im_call_pb2.ENUM_IM_CALL_MSG_TYPE_PAD_CALL,
}

NAMES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,63}", fullmatch=True)
VALUES = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


def refusal(**changes: Any) -> tuple[str, str]:
    with pytest.raises(RenderError) as caught:
        render(delivery(**changes))
    return caught.value.reason, caught.value.detail


@pytest.mark.parametrize("name", SPOKEN_OR_SHOWN)
def test_a_text_goes_with_the_facts_of_its_call(name: str) -> None:
    message = render(delivery(msg_type=SPOKEN_OR_SHOWN[name]))
    assert message.text == TEXT == "801房间下单了水饺2份,请注意"
    assert message.cloud_custom_data == (
        f'{{"callId":"17","event":"catering_ordered","msgType":"{name}","channel":"kitchen","shopId":1}}'
    )


def test_a_refresh_is_data_for_the_app() -> None:
    message = render(delivery(msg_type=REFRESH, template_content=None, params={"orderId": "5", "goodsName": "水饺"}))
    assert message.WhichOneof("content") == "custom_data"
    assert message.custom_data == (
        '{"callId":"17","event":"catering_ordered","msgType":"refresh","channel":"kitchen","shopId":1,'
        '"params":{"goodsName":"水饺","orderId":"5"}}'
    )
    assert message.cloud_custom_data == ""


def test_a_message_is_known_by_what_is_the_same_in_each_try() -> None:
    one = delivery()
    message = render(one)
    assert (message.msg_random, message.msg_time, message.expire_time) == (
        one.msg_random,
        one.due_time,
        one.expire_time,
    )
    assert render(delivery()).SerializeToString(deterministic=True) == message.SerializeToString(deterministic=True)


@pytest.mark.parametrize("event", im_call_pb2.EnumImCallEvent.values()[1:])
@pytest.mark.parametrize("channel", im_call_pb2.EnumImCallChannel.values()[1:])
def test_every_event_and_channel_has_a_short_name(event: Any, channel: Any) -> None:
    facts = json.loads(render(delivery(event=event, channel=channel)).cloud_custom_data)
    assert im_call_pb2.EnumImCallEvent.Name(event) == f"ENUM_IM_CALL_EVENT_{facts['event'].upper()}"
    assert im_call_pb2.EnumImCallChannel.Name(channel) == f"ENUM_IM_CALL_CHANNEL_{facts['channel'].upper()}"


@pytest.mark.parametrize("missing", PARAMS)
def test_a_missing_parameter_is_named_and_nothing_is_half_filled(missing: str) -> None:
    params = {name: value for name, value in PARAMS.items() if name != missing}
    assert refusal(params=params) == ("MISSING_PARAMETER", missing)


def test_a_parameter_may_be_empty_and_there_may_be_more_than_are_asked_for() -> None:
    assert render(delivery(params=PARAMS | {"num": "", "tableName": "9"})).text == "801房间下单了水饺份,请注意"


def test_a_template_that_is_gone_is_not_an_empty_one() -> None:
    assert refusal(template_content=None) == ("TEMPLATE_GONE", "")
    assert refusal(template_content="") == ("EMPTY_TEXT", "")


@pytest.mark.parametrize("blank", ["", " ", "\n\t", "\u3000"])
def test_a_text_without_a_visible_character_is_not_sent(blank: str) -> None:
    assert refusal(template_content="{text}", params={"text": blank}) == ("EMPTY_TEXT", "")


def test_a_template_that_cannot_be_read_says_why() -> None:
    reason, detail = refusal(template_content="{roomName", params=PARAMS)
    assert reason == "TEMPLATE_UNREADABLE"
    assert "brace" in detail


@pytest.mark.parametrize("character", ["x", "份"])
def test_a_text_may_have_twelve_kilobytes_and_no_more(character: str) -> None:
    longest = character * (CONTENT_BYTES_MAX // len(character.encode()))
    assert render(delivery(template_content="{text}", params={"text": longest})).text == longest
    assert refusal(template_content="{text}", params={"text": longest + character})[0] == "MESSAGE_TOO_LONG"


def test_data_for_the_app_may_have_twelve_kilobytes_and_no_more() -> None:
    empty = len(render(delivery(msg_type=REFRESH, params={"text": ""})).custom_data.encode())
    room = CONTENT_BYTES_MAX - empty
    assert render(delivery(msg_type=REFRESH, params={"text": "x" * room}))
    assert refusal(msg_type=REFRESH, params={"text": "x" * (room + 1)}) == (
        "MESSAGE_TOO_LONG",
        f"{CONTENT_BYTES_MAX + 1} bytes",
    )


@given(st.dictionaries(NAMES, VALUES, min_size=1, max_size=8), VALUES)
@example({"a": "{b}", "b": "x"}, "{{")
def test_values_are_filled_in_as_they_are(params: dict[str, str], literal: str) -> None:
    """Also where a value looks like a place or holds braces."""
    escaped = literal.replace("{", "{{").replace("}", "}}")
    template = escaped + escaped.join(f"{{{name}}}" for name in params) + "."
    message = render(delivery(template_content=template, params=params))
    assert message.text == literal + literal.join(params.values()) + "."


@given(st.dictionaries(NAMES, VALUES, max_size=8))
def test_the_parameters_of_a_refresh_arrive_as_they_are(params: dict[str, str]) -> None:
    message = render(delivery(msg_type=REFRESH, params=params))
    assert json.loads(message.custom_data)["params"] == params


@given(st.dictionaries(NAMES, VALUES, max_size=4), st.lists(NAMES, min_size=1, max_size=4))
def test_a_text_is_whole_or_names_the_first_parameter_that_is_missing(
    params: dict[str, str], places: list[str]
) -> None:
    template = "".join(f"<{{{name}}}>" for name in places)
    missing = next((name for name in places if name not in params), None)
    if missing is None:
        filled = "".join(f"<{params[name]}>" for name in places)
        assert render(delivery(template_content=template, params=params)).text == filled
    else:
        assert refusal(template_content=template, params=params) == ("MISSING_PARAMETER", missing)
