from collections.abc import Iterator

import pytest

from igrpo.hydra_support.composer import Composer


@pytest.fixture(scope="module")
def composer() -> Iterator[Composer]:
    with Composer("train") as made:
        yield made
