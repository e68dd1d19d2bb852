import sys
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def tiny():
    sys.path.insert(0, str(Path(__file__).parent))
    from tiny_config import TINY

    return TINY
