"""Kannel from Debian's packages: bearerbox and smsbox, in front of its own fakesmsc or of an SMPP SMSC."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

from bench.peers.servers import answers_on, run_server, running_smsc
from bench.peers.web import fetch
from engines import debian
from engines.engine import EngineMissingError
from engines.process import Program
from mesh.loopback import LOOPBACK, free_port

_USER, _PASSWORD = "bench", "bench"
_DELIVERED_OR_FAILED = 1 | 2
"""dlr-mask: receipts of the final outcome, none of the steps before it."""
_DELIVERED = "1"
_SENT_TOTAL = re.compile(rb"<sms>.*?<sent>\s*<total>([0-9]+)</total>", re.DOTALL)
