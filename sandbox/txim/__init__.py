"""Tencent Cloud IM (REST API): accounts, messages to them, their online states, and the screens that show them."""
