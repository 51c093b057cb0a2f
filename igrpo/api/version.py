"""Version of the package."""

from importlib.metadata import PackageNotFoundError, version

from igrpo.shipped import PACKAGE


def _version() -> str:
    """Return the version of the installed package, or that of pyproject.toml in a checkout that is not installed."""
    try:
        return version("igrpo")
    except PackageNotFoundError:
        import tomllib

        project = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        return str(project["version"])


__version__ = _version()
