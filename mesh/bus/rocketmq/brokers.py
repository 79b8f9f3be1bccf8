"""What is asked of a cluster's brokers and name servers directly: to make topics, to count, to look without taking."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import cast

import orjson

from mesh.bus.port import BusUnavailableError
from mesh.bus.rocketmq import remoting
from mesh.bus.rocketmq.avoided import Avoided
from mesh.bus.rocketmq.names import TopicNames, retry_topic
from mesh.bus.rocketmq.stored_message import StoredMessage, read_messages

ATTEMPTS_MAX = 1_000_000
"""How often a broker delivers a message before it puts it aside. Giving up is the worker's decision, never its."""

_BROKERS_REMEMBERED_SECONDS = 5.0
"""Publishers' proxies look every 20 s: what they send to a new broker must not wait for its consumers to see that."""

_TOPICS_A_REQUEST = 100
_READ_AND_WRITE = 6
_PULL_BY_SUBSCRIPTION = 4
_BARE_KEY = re.compile(rb"([{,])(\d+):")
_OFFSETS = re.compile(rb'\{("brokerName":[^{}]*)\}:\{("brokerOffset":[^{}]*)\}')


class _Request(IntEnum):
    PULL_MESSAGE = 11
    QUERY_CONSUMER_OFFSET = 14
    UPDATE_CONSUMER_OFFSET = 15
    UPDATE_AND_CREATE_TOPIC = 17
    GET_ROUTE_BY_TOPIC = 105
    GET_BROKER_CLUSTER_INFO = 106
    UPDATE_AND_CREATE_SUBSCRIPTION_GROUP = 200
    GET_ALL_TOPICS = 206
    GET_CONSUME_STATS = 208


class _Code(IntEnum):
    TOPIC_NOT_EXIST = 17
    PULL_NOT_FOUND = 19
    QUERY_NOT_FOUND = 22


@dataclass(frozen=True, slots=True)
class QueueOffsets:
    """One broker's part of a topic: where the next message goes, and which its consumer group gets next.

    `stored_topic` is the topic itself, or that of what is to come again.
    """

    broker: str
    topic: str
    stored_topic: str
    queue_id: int
    end: int
    next: int


class Brokers:
    """The cluster `cluster`, known to the name servers at `name_servers` (host:port each)."""

    def __init__(self, name_servers: Sequence[str], cluster: str, names: TopicNames) -> None:
        self._name_servers = tuple(name_servers)
        self._cluster = cluster
        self._names = names
        self._masters: dict[str, str] = {}
        self._masters_until = 0.0
        self.avoided = Avoided()

    async def masters(self) -> Mapping[str, str]:
        """Name the brokers that take messages, with their addresses. Raises BusUnavailableError if there is none.

        Those to avoid are among them only where there are no others.
        """
        now = asyncio.get_running_loop().time()
        if now > self._masters_until:
            await self._find_masters_again()
            self._masters_until = now + _BROKERS_REMEMBERED_SECONDS
        return self.avoided.left_of(self._masters)

    async def topics(self) -> list[str]:
        """Name all topics of the cluster, those of others included."""
        answer = await self._ask_name_server(_Request.GET_ALL_TOPICS, {})
        return cast("list[str]", orjson.loads(answer.body)["topicList"])

    async def create_topic(self, topic: str) -> None:
        """Make a topic that takes messages with and without delay, and begin to read it at its first message.

        Harmless where it exists. When this returns, the name servers know it.
        """
        masters = await self.masters()
        group = self._names.group(topic)
        if not await self._is_routed(topic):
            for broker in masters:
                await self._create_group(broker, group)
                await self._create_group(broker, _viewers(group))
                await self._ask_broker(broker, _Request.UPDATE_AND_CREATE_TOPIC, _topic_fields(topic))
            if not await self._is_routed(topic):
                raise BusUnavailableError(f"RocketMQ: the name servers do not know the new topic {topic} yet")
        for broker in masters:
            await self._begin_at_first(broker, topic)

    async def offsets(self, topics: Iterable[str]) -> list[QueueOffsets]:
        """Say how far their consumer groups are in topics, and in what is to come again of them."""
        groups: dict[str, dict[str, str]] = {}
        for topic in topics:
            group = self._names.group(topic)
            groups.setdefault(group, {}).update({retry_topic(topic, group): topic, topic: topic})
        found: list[QueueOffsets] = []
        for broker in await self.masters():
            for group, stored in groups.items():
                found += await self._offsets(broker, group, stored)
        return found

    async def _offsets(self, broker: str, group: str, stored: Mapping[str, str]) -> list[QueueOffsets]:
        """Say how far a group is in topics as they are stored, each with the topic that it belongs to."""
        wanted = list(stored)
        found: list[QueueOffsets] = []
        for start in range(0, len(wanted), _TOPICS_A_REQUEST):
            fields = {"consumerGroup": group, "topicList": ";".join(wanted[start : start + _TOPICS_A_REQUEST])}
            answer = await self._ask_broker(broker, _Request.GET_CONSUME_STATS, fields)
            found += _read_offsets(answer.body, stored)
        return found

    async def look(self, topic: str, messages_max: int) -> list[StoredMessage]:
        """Read messages that nobody got yet, without taking them: what is to come again, then the others by age."""
        found: list[StoredMessage] = []
        for offsets in sorted(await self.offsets([topic]), key=lambda one: one.stored_topic == topic):
            position = offsets.next
            while position < offsets.end and len(found) < messages_max:
                batch = await self._pull(offsets, position, messages_max - len(found))
                if not batch:
                    break
                found += batch
                position = batch[-1].offset + 1
        return found

    async def _pull(self, offsets: QueueOffsets, position: int, messages_max: int) -> list[StoredMessage]:
        fields = {
            "consumerGroup": _viewers(self._names.group(offsets.topic)),
            "topic": offsets.stored_topic,
            "queueId": str(offsets.queue_id),
            "queueOffset": str(position),
            "maxMsgNums": str(messages_max),
            "sysFlag": str(_PULL_BY_SUBSCRIPTION),
            "commitOffset": "0",
            "suspendTimeoutMillis": "0",
            "subscription": "*",
            "subVersion": "0",
        }
        accepted = (_Code.PULL_NOT_FOUND,)
        answer = await self._ask_broker(offsets.broker, _Request.PULL_MESSAGE, fields, accepted=accepted)
        return list(read_messages(answer.body)) if answer.code == remoting.SUCCESS else []

    async def _create_group(self, broker: str, group: str) -> None:
        """Make a consumer group, without which nothing is delivered a second time."""
        body = {
            "groupName": group,
            "consumeEnable": True,
            "consumeFromMinEnable": True,
            "retryQueueNums": 1,
            "retryMaxTimes": ATTEMPTS_MAX,
        }
        await self._ask_broker(broker, _Request.UPDATE_AND_CREATE_SUBSCRIPTION_GROUP, {}, orjson.dumps(body))

    async def _begin_at_first(self, broker: str, topic: str) -> None:
        """Set the group's offset where it has none: a broker would begin with the newest message."""
        fields = {"consumerGroup": self._names.group(topic), "topic": topic, "queueId": "0"}
        answer = await self._ask_broker(
            broker,
            _Request.QUERY_CONSUMER_OFFSET,
            {**fields, "setZeroIfNotFound": "false"},
            accepted=(_Code.QUERY_NOT_FOUND,),
        )
        if answer.code == _Code.QUERY_NOT_FOUND:
            await self._ask_broker(broker, _Request.UPDATE_CONSUMER_OFFSET, {**fields, "commitOffset": "0"})

    async def _is_routed(self, topic: str) -> bool:
        fields = {"topic": topic, "acceptStandardJsonOnly": "true"}
        answer = await self._ask_name_server(_Request.GET_ROUTE_BY_TOPIC, fields, accepted=(_Code.TOPIC_NOT_EXIST,))
        if answer.code == _Code.TOPIC_NOT_EXIST:
            return False
        brokers = {queue["brokerName"] for queue in orjson.loads(answer.body)["queueDatas"]}
        return brokers >= set(await self.masters())

    async def _find_masters_again(self) -> None:
        try:
            self._masters = await self._find_masters()
        except BusUnavailableError:
            # Brokers go on without name servers, so what was known will do.
            if not self._masters:
                raise

    async def _find_masters(self) -> dict[str, str]:
        answer = await self._ask_name_server(_Request.GET_BROKER_CLUSTER_INFO, {})
        info = orjson.loads(_BARE_KEY.sub(rb'\1"\2":', answer.body))
        names = info["clusterAddrTable"].get(self._cluster, [])
        # A broker that is being registered is in the first table before it is in the second.
        known = {name: info["brokerAddrTable"][name] for name in sorted(names) if name in info["brokerAddrTable"]}
        masters = {name: broker["brokerAddrs"]["0"] for name, broker in known.items() if "0" in broker["brokerAddrs"]}
        if not masters:
            raise BusUnavailableError(f"RocketMQ: the name servers know no broker of cluster {self._cluster!r}")
        return masters

    async def _ask_name_server(
        self, request: _Request, fields: Mapping[str, str], accepted: tuple[_Code, ...] = ()
    ) -> remoting.Answer:
        """Ask the first name server that answers: each knows everything."""
        *others, last = self._name_servers
        for address in others:
            try:
                return await self._ask(address, request, fields, accepted=accepted)
            except BusUnavailableError:
                continue
        return await self._ask(last, request, fields, accepted=accepted)

    async def _ask_broker(
        self,
        broker: str,
        request: _Request,
        fields: Mapping[str, str],
        body: bytes = b"",
        accepted: tuple[_Code, ...] = (),
    ) -> remoting.Answer:
        """Ask one of the masters, and avoid it for a while where it does not answer as it should."""
        address = self._masters.get(broker)
        if address is None:
            raise BusUnavailableError(f"RocketMQ: the name servers do not know {broker} any more")
        try:
            return await self._ask(address, request, fields, body, accepted)
        except BusUnavailableError:
            self.avoided.add(broker)
            raise

    @staticmethod
    async def _ask(
        address: str,
        request: _Request,
        fields: Mapping[str, str],
        body: bytes = b"",
        accepted: tuple[_Code, ...] = (),
    ) -> remoting.Answer:
        answer = await remoting.request(address, request, fields, body)
        if answer.code != remoting.SUCCESS and answer.code not in accepted:
            message = f"RocketMQ at {address} refused {request.name}: {answer.code} {answer.remark}"
            raise BusUnavailableError(message)
        return answer


def _viewers(group: str) -> str:
    """Name the group of those who only look at what `group` reads: a pull moves its group on."""
    return f"{group}-viewers"


def _topic_fields(topic: str) -> dict[str, str]:
    """One queue a broker keeps the order of what one publisher sends."""
    return {
        "topic": topic,
        "defaultTopic": "TBW102",
        "readQueueNums": "1",
        "writeQueueNums": "1",
        "perm": str(_READ_AND_WRITE),
        "topicFilterType": "SINGLE_TAG",
        "topicSysFlag": "0",
        "order": "false",
        "attributes": "+message.type=MIXED",
    }


def _read_offsets(body: bytes, topics: Mapping[str, str]) -> list[QueueOffsets]:
    """Read a table whose keys are objects, which is why no JSON parser takes it."""
    found = []
    for match in _OFFSETS.finditer(body):
        queue, offsets = orjson.loads(b"{%b}" % match[1]), orjson.loads(b"{%b}" % match[2])
        found.append(
            QueueOffsets(
                broker=queue["brokerName"],
                topic=topics[queue["topic"]],
                stored_topic=queue["topic"],
                queue_id=queue["queueId"],
                end=offsets["brokerOffset"],
                next=offsets["pullOffset"],
            )
        )
    return found
