"""Everything about the package is in pyproject.toml; this adds the YAML folders of the checkout to the wheel."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

FOLDERS = ("conf", "experiments", "sweeps")


class BuildWithSettings(build_py):
    """Also copy conf/, experiments/ and sweeps/ to igrpo/_data/, where the installed package looks for them."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return  # the checkout itself is read
        data = Path(self.build_lib, "igrpo", "_data")
        shutil.rmtree(data, ignore_errors=True)
        for folder in FOLDERS:
            shutil.copytree(folder, data / folder)


setup(cmdclass={"build_py": BuildWithSettings})
