"""The services behind the gateway, with made-up answers."""

import asyncio
from typing import Any

import grpc

from brandmesh.costcenter.v1 import costcenter_pb2, costcenter_pb2_grpc
from brandmesh.messagecenter.v1 import im_call_pb2, messagecenter_pb2, messagecenter_pb2_grpc
from brandmesh.payment.v1 import payment_pb2, payment_pb2_grpc
from brandmesh.sms.v1 import sms_pb2, sms_pb2_grpc
from mesh.batch_method import BatchMethod, copy
from mesh.errors import DomainError


class Sms(sms_pb2_grpc.SmsServiceServicer):
    """Answers what the contents of the requests ask for, and remembers what came."""

    def __init__(self) -> None:
        self.batches: list[list[sms_pb2.SendSmsRequest]] = []
        self.singles: list[sms_pb2.SendSmsRequest] = []
        self.listings: list[sms_pb2.ListSmsRequest] = []
        self.unblocked: list[str] = []
        self.metadata: list[dict[str, str]] = []
        self.hold = asyncio.Event()
        self.hold.set()
        self._send = BatchMethod(self._send_all, copy, sms_pb2.BatchSendSmsResponse)

    async def SendSms(self, request: sms_pb2.SendSmsRequest, context: Any) -> sms_pb2.SendSmsResponse:
        self.singles.append(request)
        return await self._send.one(request)

    async def BatchSendSms(self, request: sms_pb2.BatchSendSmsRequest, context: Any) -> sms_pb2.BatchSendSmsResponse:
        self.metadata.append(dict(context.invocation_metadata()))
        self.batches.append(list(request.requests))
        return await self._send.many(request.requests)

    async def _send_all(self, requests: Any) -> list[sms_pb2.SendSmsResponse | BaseException]:
        await self.hold.wait()
        return [self._outcome(request) for request in requests]

    @staticmethod
    def _outcome(request: sms_pb2.SendSmsRequest) -> sms_pb2.SendSmsResponse | BaseException:
        if request.content == "no credit":
            figures = {"available": "3", "required": "5"}
            code = grpc.StatusCode.FAILED_PRECONDITION
            return DomainError(code, "INSUFFICIENT_CREDIT", "buy a package first", metadata=figures)
        if request.content == "defect":
            return RuntimeError("secret insides")
        return sms_pb2.SendSmsResponse(
            task_id="7",
            accepted_count=len(request.phones),
            frozen=len(request.phones),
            freeze_id=f"{request.brand_id}-1",
        )

    async def GetSms(self, request: sms_pb2.GetSmsRequest, context: Any) -> sms_pb2.GetSmsResponse:
        if request.message_id == "404":
            raise DomainError(grpc.StatusCode.NOT_FOUND, "SMS_NOT_FOUND", "there is no such message")
        response = sms_pb2.GetSmsResponse(sms=sms_pb2.Sms(message_id=request.message_id))
        response.sms.create_time.FromMilliseconds(1_700_000_000_000)
        return response

    async def ListSms(self, request: sms_pb2.ListSmsRequest, context: Any) -> sms_pb2.ListSmsResponse:
        self.listings.append(request)
        return sms_pb2.ListSmsResponse(next_page_token="more")

    async def SendVariableSms(
        self, request: sms_pb2.SendVariableSmsRequest, context: Any
    ) -> sms_pb2.SendVariableSmsResponse:
        return sms_pb2.SendVariableSmsResponse(accepted_count=len(request.recipients))

    async def CancelSms(self, request: sms_pb2.CancelSmsRequest, context: Any) -> sms_pb2.CancelSmsResponse:
        return sms_pb2.CancelSmsResponse(sms=sms_pb2.Sms(message_id=request.message_id))

    async def UnblockPhone(self, request: sms_pb2.UnblockPhoneRequest, context: Any) -> sms_pb2.UnblockPhoneResponse:
        self.unblocked.append(request.phone)
        return sms_pb2.UnblockPhoneResponse()


class CostCenter(costcenter_pb2_grpc.CostCenterServiceServicer):
    async def GetSmsAccount(
        self, request: costcenter_pb2.GetSmsAccountRequest, context: Any
    ) -> costcenter_pb2.GetSmsAccountResponse:
        return costcenter_pb2.GetSmsAccountResponse(brand_id=request.brand_id)


class Payments(payment_pb2_grpc.PaymentServiceServicer):
    def __init__(self) -> None:
        self.notifications: list[payment_pb2.PaymentNotifyRequest] = []
        self.refusal: DomainError | None = None

    async def PaymentNotify(
        self, request: payment_pb2.PaymentNotifyRequest, context: Any
    ) -> payment_pb2.PaymentNotifyResponse:
        self.notifications.append(request)
        if self.refusal is not None:
            raise self.refusal
        return payment_pb2.PaymentNotifyResponse()


class MessageCenter(
    messagecenter_pb2_grpc.MessageCenterServiceServicer, messagecenter_pb2_grpc.MessageCenterAdminServiceServicer
):
    def __init__(self) -> None:
        self.calls: list[im_call_pb2.SendImCallRequest] = []
        self.removed: list[messagecenter_pb2.DeleteBroadcastConfigRequest] = []
        self._send = BatchMethod(self._send_all, copy, im_call_pb2.BatchSendImCallResponse)

    async def BatchSendImCall(
        self, request: im_call_pb2.BatchSendImCallRequest, context: Any
    ) -> im_call_pb2.BatchSendImCallResponse:
        return await self._send.many(request.requests)

    async def _send_all(self, requests: Any) -> list[im_call_pb2.SendImCallResponse | BaseException]:
        self.calls += requests
        skipped = im_call_pb2.SkippedChannel(
            channel=im_call_pb2.ENUM_IM_CALL_CHANNEL_CALL_SCREEN, reason=im_call_pb2.IM_CALL_SKIP_REASON_SWITCHED_OFF
        )
        answer = im_call_pb2.SendImCallResponse(call_id="7", record_count=3, skipped_channels=[skipped])
        return [answer for _ in requests]

    async def PutBroadcastConfig(
        self, request: messagecenter_pb2.PutBroadcastConfigRequest, context: Any
    ) -> messagecenter_pb2.PutBroadcastConfigResponse:
        return messagecenter_pb2.PutBroadcastConfigResponse(config=request.config)

    async def DeleteBroadcastConfig(
        self, request: messagecenter_pb2.DeleteBroadcastConfigRequest, context: Any
    ) -> messagecenter_pb2.DeleteBroadcastConfigResponse:
        self.removed.append(request)
        return messagecenter_pb2.DeleteBroadcastConfigResponse()
