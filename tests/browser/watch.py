"""What a page did wrong while it was open."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import ConsoleMessage, Page


@dataclass
class Watch:
    """Fills while the page works.

    Attributes:
        console: errors on the console, each with the address of its source.
        thrown: errors that no script caught.
        requested: every address that was asked for, the page's own included.
        refused: addresses whose answer was an error, or that got none.
    """

    console: list[str] = field(default_factory=list)
    thrown: list[str] = field(default_factory=list)
    requested: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)

    def requested_outside(self, *origins: str) -> list[str]:
        """What was asked of anybody but ``origins`` (and the page itself)."""
        return [address for address in self.requested if not address.startswith((*origins, "data:", "blob:"))]


def watch(page: Page) -> Watch:
    """Watch a page from now on."""
    seen = Watch()

    def on_console(message: ConsoleMessage) -> None:
        if message.type == "error":
            seen.console.append(f"{message.text} [{message.location['url']}]")

    page.on("console", on_console)
    page.on("pageerror", lambda error: seen.thrown.append(str(error)))
    page.on("request", lambda request: seen.requested.append(request.url))
    page.on("requestfailed", lambda request: seen.refused.append(request.url))
    page.on("response", lambda answer: seen.refused.append(answer.url) if answer.status >= 400 else None)
    return seen
