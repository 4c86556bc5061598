"""The real program, started once for the tests of a module that leave it as they found it."""

from collections.abc import Iterator

import pytest

from tests.lab import Lab, running


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with running(tmp_path_factory.mktemp("lab"), "ana", "luis") as started:
        yield started
