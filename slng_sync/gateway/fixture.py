"""A pytest fixture for programs that use this library: a running gateway with a script.

::

    @pytest.mark.slng_gateway(script=Script.from_text("turn on the light."))
    def test_my_program(slng_gateway):
        my_program(base_url=slng_gateway.url)
        assert slng_gateway.connections[0].audio_seconds > 1

The marker takes the arguments of `LocalGateway`; ``engine`` defaults to ``"script"``. After the test, any
breach of the protocol is an error, unless the marker has ``allow_breaches=True``.
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
    """Yield a running `LocalGateway`. Stop it afterwards, and fail the test over any breach."""
    marker = request.node.get_closest_marker("slng_gateway")
    arguments = {"engine": "script", **(marker.kwargs if marker else {})}
    allow_breaches = arguments.pop("allow_breaches", False)
    with LocalGateway(**arguments) as gateway:
        yield gateway
    assert allow_breaches or not gateway.breaches, f"The client broke the protocol: {gateway.breaches}"
