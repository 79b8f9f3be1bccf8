"""Checklist 003, line 8: the buyer's reminder is one mail to the seller."""

from __future__ import annotations

import pytest

from mesh.bus.port import DEAD_REASON_HEADER
from mesh.loopback import free_port
from mesh.testing import eventually
from order_rmq.reminders import DAY_SECONDS, REMINDED_QUEUE
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
    assert "订单 77 的买家请您尽快发货。" in mail.get_content()


async def test_a_mail_has_no_words_of_the_buyer(post: Post) -> None:
    await post.remind(consignee="Win a prize: https://bad.example", address="1 Bad Street", buyer="7/11")
    await eventually(lambda: post.producer.settled == [1])
    (mail,) = post.mailroom.mails
    texts = (str(mail), mail.get_content())
    assert not any(word in text for text in texts for word in ("bad.example", "Bad Street", "7/11"))


async def test_one_address_gets_so_many_a_day_from_whomever_they_are(empty_redis_url: str) -> None:
    async with open_post(empty_redis_url, reminders_per_recipient_a_day=2) as post:
        for number in (1, 2, 3, 4):
            to = SELLER.title() if number % 2 else SELLER
            await post.remind(number, order_id=f"{number}", to=to, buyer=f"7/{number}")
        assert "its recipient has had 2 reminders within a day" in await dead_reason(post)
        await eventually(lambda: (post.producer.settled, post.producer.stopped) == ([1, 2], [3, 4]))
        await post.remind(5, order_id="5", to="other@example.com", buyer="7/5")
        await eventually(lambda: post.producer.settled == [1, 2, 5])
        assert len(post.mailroom.mails) == 3


async def test_one_buyer_asks_for_so_many_a_day_to_whomever_they_go(empty_redis_url: str) -> None:
    async with open_post(empty_redis_url, reminders_per_buyer_a_day=2, reminders_per_recipient_a_day=2) as post:
        for number in (1, 2, 3):
            await post.remind(number, order_id=f"{number}", to=f"{number}@example.com")
        assert "its buyer has had 2 reminders within a day" in await dead_reason(post)
        await eventually(lambda: (post.producer.settled, post.producer.stopped) == ([1, 2], [3]))
        # A user of another brand is somebody else, and those before they named one are of nobody.
        for number, buyer in ((4, "8/11"), (5, ""), (6, ""), (7, "")):
            await post.remind(number, order_id=f"{number}", to=f"{number}@example.com", buyer=buyer)
        await eventually(lambda: post.producer.settled == [1, 2, 4, 5, 6, 7])
        # What was not sent used up nothing of its address.
        for number in (8, 9):
            await post.remind(number, order_id=f"{number}", to="3@example.com", buyer="7/12")
        await eventually(lambda: post.producer.settled == [1, 2, 4, 5, 6, 7, 8, 9])


async def test_a_mail_is_counted_once_however_often_it_is_tried_and_for_a_day(empty_redis_url: str) -> None:
    async with open_post(empty_redis_url, reminders_per_recipient_a_day=1, reminders_per_buyer_a_day=1) as post:
        post.mailroom.replies = ["451 busy, come again", "451 busy, come again"]
        await post.remind(1)
        await eventually(lambda: post.producer.settled == [1], timeout_seconds=20)
        assert (post.mailroom.tries, len(post.mailroom.mails)) == (3, 1)
        counts = [key async for key in post.redis.scan_iter("mail:{reminded}:*")]
        assert sorted(counts) == [b"mail:{reminded}:by:7/11", f"mail:{{reminded}}:to:{SELLER}".encode()]
        for key in counts:
            assert DAY_SECONDS - 60 < await post.redis.ttl(key) <= DAY_SECONDS
            await post.redis.pexpire(key, 1)

        async def are_gone() -> bool:
            return not await post.redis.exists(*counts)

        await eventually(are_gone)
        await post.remind(2, order_id="78")
        await eventually(lambda: post.producer.settled == [1, 2])


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
