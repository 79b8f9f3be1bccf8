"""What every vendor of the sandbox stands on."""

import asyncio
from dataclasses import dataclass

from sandbox.delivery import DeliveryQueue
from sandbox.faults import FaultBoard
from sandbox.push import Pusher
from sandbox.settings import Settings
from sandbox.targets import Targets


@dataclass(frozen=True, slots=True)
class World:
    """Settings, push addresses, faults, the queue of pushes and the event that announces the stop."""

    settings: Settings
    targets: Targets
    board: FaultBoard
    queue: DeliveryQueue
    pusher: Pusher
    stopping: asyncio.Event
