"""Uplinks (MO): what a handset answers."""

from dataclasses import dataclass

from sandbox.chuanglan.clock import short_minutes, short_seconds
from sandbox.chuanglan.notices import NoticeState
from sandbox.push import Push


@dataclass(slots=True)
class Uplink:
    """One message from a handset, or one part of it; `emshead` is "id,total,n" for a part, else ""."""

    account: str
    mobile: str
    text: str
    destcode: str
    received_at_ms: int
    emshead: str = ""
    state: NoticeState = NoticeState.PENDING
    pushes: tuple[Push, ...] = ()

    def push_query(self, at_ms: int) -> dict[str, str]:
        """Return the parameters of ChuangLan V1's uplink push."""
        return {
            "moTime": short_minutes(self.received_at_ms),
            "mobile": self.mobile,
            "msg": self.text,
            "destcode": self.destcode,
            "spCode": self.destcode,
            "notifyTime": short_seconds(at_ms),
            **({"isems": "1", "emshead": self.emshead} if self.emshead else {}),
        }

    def pull_row(self, at_ms: int) -> dict[str, str]:
        """Return the row of ChuangLan V1's /msg/pull/mo."""
        del at_ms
        return {
            "spCode": self.destcode,
            "moTime": short_minutes(self.received_at_ms),
            "messageContent": self.text,
            "destCode": self.destcode,
            "mobile": self.mobile,
        }


def split(uplink: Uplink, parts: int, reference: int) -> list[Uplink]:
    """Cut an uplink into parts of nearly equal length, each with its emshead; one part is the uplink itself."""
    if parts == 1:
        return [uplink]
    length = len(uplink.text)
    borders = [length * each // parts for each in range(parts + 1)]
    return [
        Uplink(
            uplink.account,
            uplink.mobile,
            uplink.text[borders[index] : borders[index + 1]],
            uplink.destcode,
            uplink.received_at_ms,
            emshead=f"{reference},{parts},{index + 1}",
        )
        for index in range(parts)
    ]
