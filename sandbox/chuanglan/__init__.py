"""ChuangLan SMS (V1 HTTP JSON API): sending, receipts, uplinks, pull, balance."""
