"""Checklist 003, line 8: the buyer's reminder is one mail to the seller."""

from __future__ import annotations

import pytest

from mesh.bus.port import DEAD_REASON_HEADER
from mesh.loopback import free_port
from mesh.testing import eventually
from order_rmq.reminders import REMINDED_QUEUE
from order_rmq.settings import Settings
from tests.order.mail.harness import SELLER, Post, open_post


async def dead_reason(post: Post) -> str:
    """Wait for a dead letter; answer why it is one."""

    async def look() -> str | None:
        dead = await post.bus.list_dead(REMINDED_QUEUE, 10)
        return dead[0].headers[DEAD_REASON_HEADER] if dead else None

    return await eventually(look)


async def test_003_08_a_reminder_is_a_mail_to_the_seller(post: Post) -> None:
    await post.remind()
    await eventually(lambda: post.producer.settled == [1])
    (mail,) = post.mailroom.mails
    assert (mail["To"], mail["From"]) == (SELLER, "shop@example.com")
    assert mail["Subject"] == "催单 / Order 77 waits to be sent"
    assert "订单 77 的买家 (李)请您尽快发货。" in mail.get_content()


async def test_003_08_one_mail_an_order_however_often_the_message_comes(post: Post) -> None:
    for msg_id in (1, 1, 2):
        await post.remind(msg_id)
    await eventually(lambda: post.producer.settled == [1, 1, 2])
    await post.remind(3, order_id="78")
    await eventually(lambda: post.producer.settled == [1, 1, 2, 3])
    assert len(post.mailroom.mails) == 2
    assert len({mail["Message-ID"] for mail in post.mailroom.mails}) == 2


async def test_a_mail_that_is_not_taken_now_is_sent_later(post: Post) -> None:
    post.mailroom.replies = ["451 busy, come again"]
    await post.remind()
    await eventually(lambda: post.producer.settled == [1], timeout_seconds=20)
    assert (post.mailroom.tries, len(post.mailroom.mails)) == (2, 1)


async def test_a_mail_that_is_refused_stops_with_the_reason(post: Post) -> None:
    post.mailroom.replies = ["554 no such box"]
    await post.remind()
    assert "554 no such box" in await dead_reason(post)
    assert (post.producer.settled, post.producer.stopped) == ([], [1])


@pytest.mark.parametrize(
    "fields",
    [
        {"to": "nobody"},
        {"to": f"{SELLER}\nBcc: all@example.com"},
        {"to": "=?utf-8?q?another?=@example.com"},
        {"to": "(\x7f).@example.com"},
        {"body": "[]"},
        {"body": "{"},
    ],
)
async def test_003_09_what_cannot_be_read_stops_alone(post: Post, fields: dict[str, str]) -> None:
    await post.remind(1, **fields)
    await post.remind(2, order_id="78")
    await eventually(lambda: (post.producer.settled, post.producer.stopped) == ([2], [1]))
    assert len(post.mailroom.mails) == 1


async def test_without_a_mail_server_reminders_stop_and_say_what_to_do(empty_redis_url: str) -> None:
    async with open_post(empty_redis_url, smtp_host="") as post:
        await post.remind()
        assert "set BRANDMESH_SMTP_HOST, then requeue" in await dead_reason(post)
        assert post.producer.stopped == [1]


async def test_a_mail_server_that_is_away_is_asked_again(empty_redis_url: str) -> None:
    async with open_post(empty_redis_url, smtp_port=free_port()) as post:
        await post.remind()

        async def is_delayed() -> bool:
            depth = await post.bus.depth(REMINDED_QUEUE)
            return depth.delayed == 1

        await eventually(is_delayed)
    assert (post.producer.settled, post.producer.stopped) == ([], [])


async def test_a_server_that_knows_no_starttls_gets_no_mail(empty_redis_url: str) -> None:
    async with open_post(empty_redis_url, smtp_security="starttls") as post:
        await post.remind()

        async def is_delayed() -> bool:
            return (await post.bus.depth(REMINDED_QUEUE)).delayed == 1

        await eventually(is_delayed)
        assert post.mailroom.mails == []


def test_a_mail_server_needs_a_sender() -> None:
    with pytest.raises(ValueError, match="smtp_sender is required"):
        Settings(smtp_host="mail.example.com")
