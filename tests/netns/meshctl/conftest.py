"""The fixture `shop` for tests of a bare lab."""

import pytest

from tests.lab_for_tests import Lab, MakeLab
from tests.netns.meshctl.shop import SHOP


@pytest.fixture
def shop(lab: MakeLab) -> Lab:
    """A lab without a mesh, with the shop in it."""
    return lab(SHOP, bare=True)
