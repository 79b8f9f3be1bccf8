import json
from typing import Any, cast

import pytest
from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given, settings
from hypothesis import strategies as st

from brandmesh.costcenter.v1 import costcenter_pb2
from brandmesh.messagecenter.v1 import im_call_pb2
from brandmesh.sms.v1 import sms_pb2
from brandmesh.smspackage.v1 import sms_package_pb2
from gateway.transcoding.json_decoding import body_decoder
from gateway.transcoding.json_encoding import message_encoder, response_encoder
from gateway.transcoding.scalars import (
    integer_range,
    is_integer,
    short_names,
)
from mesh.errors import DomainError
from tests.gateway.harness import CompileProto

REQUESTS: list[type[Message]] = [
    sms_pb2.SendSmsRequest,
    sms_pb2.SendVariableSmsRequest,
    sms_pb2.BlockPhoneRequest,
    sms_package_pb2.CreateOrderRequest,
    costcenter_pb2.GrantSmsPackageRequest,
    costcenter_pb2.SmsSendStatusCallBackRequest,
    im_call_pb2.SendImCallRequest,
]
RESPONSES: list[type[Message]] = [
    sms_pb2.SendSmsResponse,
    sms_pb2.GetSmsResponse,
    sms_pb2.ListSmsResponse,
    sms_package_pb2.GetOrderResponse,
    costcenter_pb2.GetSmsAccountResponse,
    costcenter_pb2.ListSmsEntriesResponse,
]


def descriptor_of(message_class: type[Message]) -> Descriptor:
    return cast("Descriptor", message_class.DESCRIPTOR)


def build(message_class: type[Message], fields: dict[str, object]) -> Message:
    return message_class(**fields)


def decode(message_class: type[Message], body: bytes) -> Message:
    return build(message_class, body_decoder(descriptor_of(message_class), "Trial", ())(body))


def refusal(body: bytes | str, message_class: type[Message] = sms_pb2.SendSmsRequest) -> tuple[str, str]:
    with pytest.raises(DomainError) as caught:
        decode(message_class, body if isinstance(body, bytes) else body.encode())
    error = caught.value
    assert error.code.name == "INVALID_ARGUMENT"
    if not error.violations:
        return error.reason, error.message
    return error.violations[0].field, error.violations[0].description


def field_values(field: FieldDescriptor) -> st.SearchStrategy[Any]:
    if field.message_type is not None:
        if field.message_type.full_name == Timestamp.DESCRIPTOR.full_name:
            milliseconds = st.integers(-62_135_596_800_000, 253_402_300_799_999)
            return milliseconds.map(lambda ms: Timestamp(seconds=ms // 1000, nanos=ms % 1000 * 1_000_000))
        return messages(field.message_type)
    if field.enum_type is not None:
        return st.sampled_from(sorted(field.enum_type.values_by_number))
    if is_integer(field):
        return st.integers(*integer_range(field))
    return st.booleans() if field.type == FieldDescriptor.TYPE_BOOL else st.text(max_size=12)


def messages(descriptor: Descriptor) -> st.SearchStrategy[Message]:
    fields: dict[str, st.SearchStrategy[Any]] = {}
    for field in descriptor.fields:
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            fields[field.name] = st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=4)
        elif field.is_repeated:
            fields[field.name] = st.lists(field_values(field), max_size=3)
        else:
            fields[field.name] = field_values(field)
    return st.fixed_dictionaries({}, optional=fields).map(lambda given: build(GetMessageClass(descriptor), given))


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_reads_what_protobufs_own_json_writes(data: st.DataObject) -> None:
    message_class = data.draw(st.sampled_from(REQUESTS))
    message = data.draw(messages(descriptor_of(message_class)))
    proto_names = data.draw(st.booleans())
    text = json_format.MessageToJson(message, preserving_proto_field_name=proto_names, ensure_ascii=False)
    assert decode(message_class, text.encode()) == message


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_protobufs_own_json_reads_what_is_written(data: st.DataObject) -> None:
    message_class = data.draw(st.sampled_from(RESPONSES))
    message = data.draw(messages(descriptor_of(message_class)))
    written = json.loads(response_encoder(descriptor_of(message_class), "Trial")(message))
    # The one thing that protobuf's JSON does not read is a short name.
    assert json_format.ParseDict(with_full_names(written, descriptor_of(message_class)), message_class()) == message


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_what_is_written_is_read_back(data: st.DataObject) -> None:
    message_class = data.draw(st.sampled_from(RESPONSES))
    message = data.draw(messages(descriptor_of(message_class)))
    assert decode(message_class, response_encoder(descriptor_of(message_class), "Trial")(message)) == message


def with_full_names(written: Any, descriptor: Descriptor) -> Any:
    for field in descriptor.fields:
        value = written.get(field.json_name)
        if field.enum_type is not None:
            numbers = {name: number for number, name in short_names(field.enum_type).items()}
            written[field.json_name] = [numbers[name] for name in value] if field.is_repeated else numbers[value]
        elif field.message_type is not None and field.message_type.fields_by_name.get("seconds") is None:
            for part in value if isinstance(value, list) else [value] if value else []:
                with_full_names(part, field.message_type)
    return written


def test_unset_scalars_are_written_and_unset_messages_are_not() -> None:
    written = json.loads(response_encoder(sms_pb2.GetSmsResponse.DESCRIPTOR, "Trial")(sms_pb2.GetSmsResponse()))
    assert written == {"timeline": []}
    account = costcenter_pb2.GetSmsAccountResponse()
    written = json.loads(response_encoder(account.DESCRIPTOR, "Trial")(account))
    assert written["available"] == 0
    assert written["granted"] == 0


def test_form_of_a_response() -> None:
    entry = costcenter_pb2.SmsEntry(
        seq=9_007_199_254_740_991, kind=costcenter_pb2.SMS_ENTRY_KIND_PAY, available_delta=-4
    )
    entry.create_time.FromMilliseconds(1_700_000_000_007)
    assert message_encoder(entry.DESCRIPTOR, "Trial", ())(entry) == {
        "seq": 9_007_199_254_740_991,
        "kind": "pay",
        "requestId": "",
        "availableDelta": -4,
        "frozenDelta": 0,
        "spentDelta": 0,
        "expiredDelta": 0,
        "grantedDelta": 0,
        "createTime": "2023-11-14T22:13:20.007Z",
    }


def test_enum_value_of_a_later_contract_stays_a_number() -> None:
    sms = sms_pb2.Sms.FromString(b"\x38\x63")
    assert message_encoder(sms.DESCRIPTOR, "Trial", ())(sms)["status"] == 99


@pytest.mark.parametrize("value", ['"notification"', '"NOTIFICATION"', '"Sms_Type_Notification"', "2"])
def test_enum_is_read_by_short_name_full_name_or_number(value: str) -> None:
    request = decode(sms_pb2.SendSmsRequest, f'{{"type": {value}}}'.encode())
    assert request == sms_pb2.SendSmsRequest(type=sms_pb2.SMS_TYPE_NOTIFICATION)


@pytest.mark.parametrize("value", ["7", "-7", '"7"', '"-07"', "7.0", "7e0", "0.7e1"])
def test_integer_is_read_from_numbers_without_a_fraction_and_decimal_strings(value: str) -> None:
    request = decode(sms_pb2.SendSmsRequest, f'{{"brandId": {value}}}'.encode())
    assert isinstance(request, sms_pb2.SendSmsRequest)
    assert abs(request.brand_id) == 7


@pytest.mark.parametrize(
    ("body", "path", "said"),
    [
        ('{"brandId": 1.5}', "brandId", "whole number"),
        ('{"brandId": true}', "brandId", "whole number"),
        ('{"brandId": null}', "brandId", "whole number"),
        ('{"brandId": ""}', "brandId", "whole number"),
        ('{"brandId": " 1"}', "brandId", "whole number"),
        ('{"brandId": "1_000"}', "brandId", "whole number"),
        ('{"brandId": "٣"}', "brandId", "whole number"),
        ('{"brandId": "0x10"}', "brandId", "whole number"),
        ('{"brandId": 9223372036854775808}', "brandId", "between"),
        ('{"brandId": 99999999999999999999999}', "brandId", "too large to be exact"),
        ('{"brandId": 1e300}', "brandId", "too large to be exact"),
        ('{"brandId": "99999999999999999999"}', "brandId", "between"),
        ('{"requestId": 5}', "requestId", "must be a string"),
        ('{"requestId": null}', "requestId", "must be a string"),
        ('{"type": "carrier pigeon"}', "type", "must be one of verification, notification, marketing"),
        ('{"type": 99}', "type", "must be one of"),
        ('{"type": true}', "type", "must be one of"),
        ('{"type": null}', "type", "must be one of"),
        ('{"type": ["notification"]}', "type", "must be one of"),
        ('{"phones": "13800138000"}', "phones", "must be a list"),
        ('{"phones": null}', "phones", "must be a list"),
        ('{"phones": ["1", 2]}', "phones[1]", "must be a string"),
        ('{"phones": ["1", null]}', "phones[1]", "must be a string"),
        ('{"scheduleTime": 1700000000}', "scheduleTime", "RFC 3339"),
        ('{"scheduleTime": "2027-01-31"}', "scheduleTime", "RFC 3339"),
        ('{"scheduleTime": "2027-02-30T00:00:00Z"}', "scheduleTime", "exists"),
        ('{"Phones": []}', "Phones", "not a field"),
        ('{"phones.0": []}', "phones.0", "not a field"),
        ('{"__class__": 1}', "__class__", "not a field"),
        ('{"request_id": "a", "requestId": "a"}', "requestId", "given twice, as requestId and as request_id"),
        ('{"requestId": "a", "requestId": "b"}', "requestId", "given twice"),
        ('{"requestId" :"a", "requestId":"a"}', "requestId", "given twice"),
        ('{"requestId": "a:", "content": "b", "request\\u0049d": "a"}', "requestId", "given twice"),
        ("[]", "INVALID_REQUEST", "must be an object"),
        ('"text"', "INVALID_REQUEST", "must be an object"),
        ("null", "INVALID_REQUEST", "must be an object"),
    ],
)
def test_wrong_value_is_refused_with_its_path(body: str, path: str, said: str) -> None:
    found_path, description = refusal(body)
    assert (found_path or "INVALID_REQUEST") == path
    assert said in description


def test_path_leads_into_lists_of_messages() -> None:
    body = '{"recipients": [{"phone": "1"}, {"phone": "1", "params": ["a", 5]}]}'
    assert refusal(body, sms_pb2.SendVariableSmsRequest) == ("recipients[1].params[1]", "must be a string")
    body = '{"recipients": [{"phone": "1"}, null]}'
    assert refusal(body, sms_pb2.SendVariableSmsRequest) == ("recipients[1]", "must be an object")
    body = '{"recipients": [{"phone": "1", "phone": "2"}]}'
    assert refusal(body, sms_pb2.SendVariableSmsRequest) == ("phone", "is given twice")


def test_map_holds_strings() -> None:
    request = im_call_pb2.SendImCallRequest
    assert decode(request, b'{"callParams": {"a": "1:2"}}') == request(callParams={"a": "1:2"})
    assert refusal('{"callParams": {"a": 1}}', request) == ("callParams.a", "must be a string")
    assert refusal('{"callParams": {"a": "1", "a": "2"}}', request) == ("a", "is given twice")


def test_two_sides_of_a_oneof_are_refused(compile_proto: CompileProto) -> None:
    file = compile_proto("message Either { oneof side { string left_side = 1; string right_side = 2; } }")
    read = body_decoder(file.message_types_by_name["Either"], "Trial", ())
    assert read(b'{"leftSide": "a"}') == {"left_side": "a"}
    with pytest.raises(DomainError, match="rightSide: may not be given together with leftSide"):
        read(b'{"rightSide": "a", "leftSide": "b"}')


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"{}}",
        b'{"brandId": NaN}',
        b'{"brandId": Infinity}',
        b'{"brandId": 01}',
        b"{'brandId': 1}",
        b'{"requestId": "\xff"}',
        b'{"requestId": "\xed\xa0\x80"}',
        b'{"requestId": "\\ud800"}',
        b'{"requestId": "a\nb"}',
        b'\xef\xbb\xbf{"brandId": 1}',
        b"\x00",
        b"[" * 100_000,
        b'{"content":' * 2_000 + b"1" + b"}" * 2_000,
    ],
)
def test_what_is_not_json_in_utf_8_is_refused(body: bytes) -> None:
    reason, message = refusal(body)
    assert reason == "JSON_MALFORMED"
    assert len(message) < 200


@pytest.mark.parametrize("levels", [2, 500, 1_000])
def test_deep_nesting_is_refused_where_it_starts(levels: int) -> None:
    path, _ = refusal('{"phones":' + "[" * levels + "]" * levels + "}")
    assert path == "phones[0]"
    path, _ = refusal('{"scheduleTime":' + '{"a":' * levels + "1" + "}" * levels + "}")
    assert path == "scheduleTime"


def test_empty_body_is_an_empty_request() -> None:
    assert decode(sms_pb2.SendSmsRequest, b"") == sms_pb2.SendSmsRequest()


def test_null_leaves_a_message_unset() -> None:
    assert decode(sms_pb2.SendSmsRequest, b'{"scheduleTime": null}') == sms_pb2.SendSmsRequest()


def test_field_of_the_path_may_not_be_in_the_body() -> None:
    read = body_decoder(sms_pb2.SendSmsRequest.DESCRIPTOR, "Trial", ["brand_id"])
    for name in ("brandId", "brand_id"):
        with pytest.raises(DomainError) as caught:
            read(f'{{"{name}": 1001}}'.encode())
        assert caught.value.violations[0].field == "brandId"
        assert "path" in caught.value.violations[0].description


def test_name_of_an_unknown_field_is_shown_shortened() -> None:
    path, _ = refusal(json.dumps({"x" * 100_000: 1}))
    assert len(path) == 200
