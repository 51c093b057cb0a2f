"""Error messages, asserted word by word."""

import re


def exactly(message: str) -> str:
    """A pattern for ``pytest.raises(match=...)`` that matches this whole message and nothing else."""
    return rf"\A{re.escape(message)}\Z"
