"""Tencent Cloud IM behind one door."""
