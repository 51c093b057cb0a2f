from collections.abc import Iterator

import pytest

from igrpo.config.composing.composer import Composer


@pytest.fixture(scope="module")
def composer() -> Iterator[Composer]:
    with Composer("train") as made:
        yield made
