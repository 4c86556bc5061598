"""A service with two users, and connections to it."""
import pytest

from tests.bridge.serve.imap.world import Talk, World


@pytest.fixture
def world(tmp_path):
    with World(tmp_path) as running:
        yield running


@pytest.fixture
def talk(world):
    """Opens connections: talk("ana") is logged in, talk() isn't."""
    opened = []

    def connect(name=""):
        opened.append(Talk(world, name))
        return opened[-1]

    yield connect
    for one in opened:
        one.close()
