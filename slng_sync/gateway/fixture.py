"""A pytest fixture for programs that use this library: a gateway that follows a script.

::

    @pytest.mark.slng_gateway(script=Script.from_text("turn on the light."))
    def test_my_program(slng_gateway):
        my_program(base_url=slng_gateway.url)
        assert slng_gateway.connections[0].audio_seconds > 1

The marker's arguments are those of `LocalGateway`; ``engine`` is ``"script"`` unless it says otherwise.
Once the test is done, any breach of the protocol fails it, unless the marker says ``allow_breaches=True``.
"""

from typing import Iterator

import pytest

from .server import LocalGateway

__all__ = ["slng_gateway"]


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "slng_gateway(**arguments): arguments of LocalGateway for the fixture slng_gateway"
    )


@pytest.fixture
def slng_gateway(request: pytest.FixtureRequest) -> Iterator[LocalGateway]:
    """Give a running `LocalGateway`; afterwards stop it, and fail the test over any breach."""
    marker = request.node.get_closest_marker("slng_gateway")
    arguments = {"engine": "script", **(marker.kwargs if marker else {})}
    allow_breaches = arguments.pop("allow_breaches", False)
    with LocalGateway(**arguments) as gateway:
        yield gateway
    assert allow_breaches or not gateway.breaches, f"The protocol was broken: {gateway.breaches}"
