"""The error for settings that cannot be used."""

from __future__ import annotations

from collections.abc import Sequence

from igrpo.messages import count


class ConfigError(ValueError):
    """Error for a configuration that cannot be run; ``problems`` holds one line per reason."""

    def __init__(self, problems: Sequence[str], source: str = "the configuration") -> None:
        self.problems = list(problems)
        super().__init__(
            f"{source} has {count(len(self.problems), 'problem')}:\n"
            + "\n".join(f"  - {problem}" for problem in self.problems)
        )
