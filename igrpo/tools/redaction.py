"""Removal of secrets, and of the names and paths of a machine, from what is published."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from igrpo.runs.links import without_password

#: Text that takes the place of a secret, and of the name of this machine.
HIDDEN, HOST = "***", "<host>"

#: Variables whose values are secrets.
_VARIABLES = re.compile(r"(?i)(key|token|secret|password|passwd|passphrase|credentials?|_pass)$")
_SHORTEST_SECRET = 8

_SECRET_NAME = r"(?:api_?key|access_?key|password|passwd|secret|token|authorization|credentials?)"
_SECRET_KEY = re.compile(rf"(?i)(?:^|[_.-]){_SECRET_NAME}$")
_ASSIGNED = re.compile(
    rf"""(?ix) (?<![a-z0-9]) ({_SECRET_NAME} ["']? \s* [=:] \s*) ( "[^"]*" | '[^']*' | bearer\s+\S+ | [^\s,}}\]]+ )"""
)
#: Keys as large services make them: OpenAI and Anthropic, Hugging Face, GitHub, AWS, Slack.
_KNOWN_KEY = re.compile(
    r"\b(?:sk-[A-Za-z0-9_-]{16,}|hf_[A-Za-z0-9]{16,}|gh[pousr]_[A-Za-z0-9]{20,}|AKIA[0-9A-Z]{16}|xox[a-z]-[\w-]{10,})"
)
#: In overrides a colon may have a backslash before it.
_PASSWORD = re.compile(r"""\w[\w+.-]*\\?://[^/\s'":]*:([^/\s'"]+)@""")
_QUERY = re.compile(r"""(https?\\?://[^\s?\#'"]+)\?[^\s'"]*""")
_URL_HOST = r"(?<=://){}(?![\w.-])"

_PART = r"""(?:\\.|[^\s/\\'"`,;:=<>()\[\]{}|*?])+"""
#: An absolute path of at least two parts; not what stands in an address, after a word, or after a tag such as </think>.
_PATH = re.compile(rf"(?:(?<=sqlite:///)|(?<=file://)|(?<![\w.:/<>~}}\\-]))/{_PART}/{_PART}(?:/{_PART})*/?")

#: Section of texts for a model, in which a slash is no path.
_PROMPT = "prompt"


class Redactor:
    """Redactor of texts and values.

    Secrets are passwords in addresses, values whose names say that they are secret, keys of the form of large services,
    and the values of environment variables that are named like secrets, or that a setting ``api_key_env`` names. Paths
    below a root become relative to it, other absolute paths keep their last part below a numbered folder, so that
    different paths stay different.

    Args:
        roots: absolute folders and what takes their places ('' makes paths relative).
        hosts: names of machines.
        keep_machine: keep paths and host names.
    """

    def __init__(self, roots: Mapping[str, str], *, hosts: frozenset[str] = frozenset(), keep_machine: bool) -> None:
        self._keep_machine = keep_machine
        self._folders: dict[str, str] = {}
        self._secrets = {value for name, value in os.environ.items() if _VARIABLES.search(name) and _is_secret(value)}
        longest = sorted((root for root in roots if root.strip("/")), key=len, reverse=True)
        self._roots = [(re.compile(rf"(?<![\w.]){re.escape(root)}(?![\w-]|\.\w)(/*)"), roots[root]) for root in longest]
        self._hosts = [re.escape(host) for host in sorted(hosts - {"localhost", ""}, key=len, reverse=True)]

    @property
    def secrets(self) -> frozenset[str]:
        """Literal secrets that were found so far."""
        return frozenset(self._secrets)

    def learn(self, value: Any, name: str = "") -> None:
        """Remember the secrets in nested values, so that they are found in other texts, too."""
        for key, text in _leaves(value, name):
            found = [text] if _SECRET_KEY.search(key) else _PASSWORD.findall(text)
            if key.endswith("api_key_env"):
                found.append(os.environ.get(text, ""))
            self._secrets.update(filter(_is_secret, found))

    def values(self, value: Any, name: str = "") -> Any:
        """Return nested values without secrets; paths and hosts are removed outside of prompts."""
        if isinstance(value, Mapping):
            return {key: self.values(child, f"{name}.{key}") for key, child in value.items()}
        if isinstance(value, list | tuple):
            return [self.values(child, name) for child in value]
        if not isinstance(value, str):
            return value
        if _SECRET_KEY.search(name):
            return HIDDEN
        return self._without_known(value) if _PROMPT in name.split(".") else self.text(value)

    def text(self, text: str, *, names: bool = False) -> str:
        """Return a text without secrets, paths and, in addresses, hosts; with ``names``, hosts elsewhere, too."""
        text = self._without_secrets(text)
        if self._keep_machine:
            return text
        for host in self._hosts:
            text = re.sub(_URL_HOST.format(host), HOST, text)
            text = re.sub(rf"(?<![\w.-]){host}(?![\w-])", HOST, text) if names else text
        for root, instead in self._roots:
            text = root.sub(partial(_joined, instead), text)
        return _PATH.sub(self._numbered, text)

    def _without_secrets(self, text: str) -> str:
        text = _QUERY.sub(r"\1", without_password(self._without_known(text)))
        return _ASSIGNED.sub(rf"\1{HIDDEN}", text)

    def _without_known(self, text: str) -> str:
        for secret in sorted(self._secrets, key=len, reverse=True):
            text = text.replace(secret, HIDDEN)
        return _KNOWN_KEY.sub(HIDDEN, text)

    def _numbered(self, found: re.Match[str]) -> str:
        path = PurePosixPath(found[0])
        folder = self._folders.setdefault(str(path.parent), f"<folder-{len(self._folders) + 1}>")
        return f"{folder}/{path.name}"


def home_roots() -> dict[str, str]:
    """Return the home directory as a root, by both of its names if it is a link."""
    home = Path.home()
    return {str(home): "~", str(home.resolve()): "~"}


def _joined(instead: str, root: re.Match[str]) -> str:
    if root[1]:  # a path goes on
        return f"{instead}/" if instead else ""
    return instead or "."


def _is_secret(text: str) -> bool:
    return len(text) >= _SHORTEST_SECRET


def _leaves(value: Any, name: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key, child in value.items():
            yield from _leaves(child, f"{name}.{key}")
    elif isinstance(value, list | tuple):
        for child in value:
            yield from _leaves(child, name)
    elif isinstance(value, str):
        yield name, value
