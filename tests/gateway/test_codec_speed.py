import time
from collections.abc import Callable

from brandmesh.sms.v1 import sms_pb2
from gateway.transcoding.json_decoding import body_decoder, decode_strings
from gateway.transcoding.json_encoding import response_encoder
from tests.gateway.test_json_codec import build


def test_list_of_strings_is_handed_on_as_it_is() -> None:
    phones = [f"138{number:08d}" for number in range(100_000)]
    assert decode_strings(phones) is phones


def test_small_request_and_response_take_microseconds() -> None:
    body = b'{"requestId":"a-1","type":"notification","phones":["13800138000"],"content":"Ready","signature":"Baths"}'
    read = body_decoder(sms_pb2.SendSmsRequest.DESCRIPTOR, "Trial", ["brand_id"])
    created = sms_pb2.CreatedSms(message_id="1", phone="+8613800138000", status=sms_pb2.SMS_STATUS_QUEUED)
    response = sms_pb2.SendSmsResponse(task_id="1", messages=[created], accepted_count=1, frozen=1, freeze_id="1-1")
    write = response_encoder(sms_pb2.SendSmsResponse.DESCRIPTOR, "Trial")
    # Ten times what is usual, so that a busy machine passes and a step a character does not.
    assert best_microseconds(lambda: build(sms_pb2.SendSmsRequest, read(body))) < 40
    assert best_microseconds(lambda: write(response)) < 40


def best_microseconds(action: Callable[[], object], rounds: int = 200) -> float:
    best = float("inf")
    for _ in range(rounds):
        started_at = time.perf_counter()
        action()
        best = min(best, time.perf_counter() - started_at)
    return best * 1e6
