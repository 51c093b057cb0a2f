"""Location of the model that vLLM serves."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class ServedModel:
    """A local directory, or a name on the hub.

    vLLM reads the configuration and tokenizer there; weights come from the trainer. ``trust_remote_code`` runs code
    that comes with the model, like the setting of the same name.
    """

    path: str
    revision: str | None = None
    trust_remote_code: bool = False

    @classmethod
    def named(cls, name_or_path: str, revision: str | None, *, trust_remote_code: bool) -> ServedModel:
        """Build from a setting: an existing directory becomes its absolute path, anything else is kept as a name."""
        local = Path(name_or_path).expanduser()
        path = str(local.absolute()) if local.is_dir() else name_or_path
        return cls(path, revision, trust_remote_code)
