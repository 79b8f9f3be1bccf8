"""ChuangLan SMS (253), generation V1 of its HTTP JSON API."""

from sms_rmq.providers.chuanglan.adapter import ChuangLan
from sms_rmq.providers.chuanglan.callbacks import ChuangLanCallbacks

__all__ = ["ChuangLan", "ChuangLanCallbacks"]
