"""What a message costs: the mainland rule (every character counts one, the signature too)."""

SINGLE_CHARACTERS = 70
PART_CHARACTERS = 67


def billed_segments(text: str) -> int:
    """Count the billed segments of a text: one up to 70 characters, else one for each 67 begun."""
    length = len(text)
    return 1 if length <= SINGLE_CHARACTERS else -(-length // PART_CHARACTERS)
