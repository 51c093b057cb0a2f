"""Hydra plugins that mount top-level folders as config groups, independent of their location.

``mount://<group>=<folder>`` serves the YAML files of the folder as the config group. (With the folder's parent on
Hydra's search path, all folders beside it, such as those of past runs, would be listed as groups.)
"""

from __future__ import annotations

from pathlib import Path

from hydra._internal.core_plugins.file_config_source import FileConfigSource
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.object_type import ObjectType
from hydra.core.plugins import Plugins
from hydra.plugins.config_source import ConfigLoadError, ConfigResult
from hydra.plugins.search_path_plugin import SearchPathPlugin

from igrpo.config.composing.folders import MOUNTED, folders_of_group


class MountedFolder(FileConfigSource):
    """Config source that serves a folder as one config group."""

    def __init__(self, provider: str, path: str) -> None:
        self.group, _, folder = path.removeprefix("mount://").partition("=")
        super().__init__(provider, f"mount://{folder}")

    @staticmethod
    def scheme() -> str:
        return "mount"

    def available(self) -> bool:
        return Path(self.path).is_dir()

    def is_group(self, config_path: str) -> bool:
        inside = self._inside(config_path)
        return not config_path.strip("/") or (inside is not None and bool(super().is_group(inside)))

    def is_config(self, config_path: str) -> bool:
        inside = self._inside(config_path)
        return inside is not None and inside != "" and bool(super().is_config(inside))

    def load_config(self, config_path: str) -> ConfigResult:
        inside = self._inside(config_path)
        if not inside:
            raise ConfigLoadError(f"{config_path} is not in {self.path}")
        return super().load_config(inside)

    def list(self, config_path: str, results_filter: ObjectType | None) -> list[str]:
        if not config_path.strip("/"):
            return [self.group] if results_filter in {None, ObjectType.GROUP} else []
        inside = self._inside(config_path)
        if inside is None or not super().is_group(inside):
            return []
        found: list[str] = []
        for name in sorted(path.name for path in Path(self.path, inside).iterdir()):
            self._list_add_result(
                files=found, file_path=f"{config_path}/{name}", file_name=name, results_filter=results_filter
            )
        return sorted(set(found))

    def _inside(self, config_path: str) -> str | None:
        """Return the path within the folder; None for a path of another group."""
        path = config_path.strip("/")
        if path == self.group:
            return ""
        prefix = f"{self.group}/"
        return path.removeprefix(prefix) if path.startswith(prefix) else None


class MountedGroups(SearchPathPlugin):
    """Search path plugin that adds ``experiment`` and ``sweep``; the user's folder takes precedence."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        for group in MOUNTED:
            for folder in folders_of_group(group):
                search_path.append(f"igrpo-{group}", f"mount://{group}={folder}")


def install() -> None:
    """Register both plugins with Hydra. Repeated calls have no effect."""
    plugins = Plugins.instance()
    plugins.register(MountedFolder)
    plugins.register(MountedGroups)
