"""WeChat Pay, APIv3: Native payments, refunds and bills, signed with RSA; notifications sealed with AES-GCM."""
