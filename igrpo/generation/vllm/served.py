"""Where vLLM finds the shape of the model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class ServedModel:
    """A directory, or a name on the hub. vLLM reads its configuration and tokenizer; weights come from the trainer.

    ``trust_remote_code`` runs code that comes with the model, as the setting of the same name does.
    """

    path: str
    revision: str | None = None
    trust_remote_code: bool = False

    @classmethod
    def named(cls, name_or_path: str, revision: str | None, *, trust_remote_code: bool) -> ServedModel:
        """Of a setting: a directory that is there by its absolute path, anything else by its name."""
        local = Path(name_or_path).expanduser()
        path = str(local.absolute()) if local.is_dir() else name_or_path
        return cls(path, revision, trust_remote_code)
