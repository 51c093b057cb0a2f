"""HTTP to a vLLM server without proxies, and its health check."""

from __future__ import annotations

import http.client
import urllib.request

#: Opens URLs without proxies: weights and prompts go to the server only, and a proxy could answer in its place.
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def is_healthy(url: str, timeout_s: float = 10.0) -> bool:
    """True if the server at ``url`` reports that its engine is healthy."""
    try:
        with OPENER.open(f"{url}/health", timeout=timeout_s) as reply:
            return bool(reply.status == 200)
    except (OSError, http.client.HTTPException):
        return False
