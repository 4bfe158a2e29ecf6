"""The fixture of the mailbox's tests."""

import pytest
from deliveries import Seen


@pytest.fixture
def seen() -> Seen:
    return Seen()
