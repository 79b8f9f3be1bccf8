"""Sends IM calls at their time: checks, text, Tencent, outcome."""
