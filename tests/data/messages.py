"""Error messages, asserted by the setting or place that they name and by key phrases."""

import re


def says(start: str, *phrases: str) -> str:
    """Return a pattern for ``pytest.raises(match=...)``: the message begins with ``start`` and has the phrases."""
    return r"(?s)\A" + ".*".join(map(re.escape, (start, *phrases)))
