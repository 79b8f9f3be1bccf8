"""RocketMQ from Maven Central's jars."""

from engines.rocketmq.engine import RocketMq
from engines.rocketmq.server import RocketMqServer

__all__ = ["RocketMq", "RocketMqServer"]
