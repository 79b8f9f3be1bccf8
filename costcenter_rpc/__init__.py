"""The cost center: the prepaid ledger of SMS credits."""
