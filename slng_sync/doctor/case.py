"""The options of a diagnosis, and what its checks have found so far."""

from dataclasses import dataclass
from typing import Callable, Optional, Union

from ..dialects import as_dialect
from ..events import Level
from ..microphone.device import Device
from ..transport.endpoint import ServerEndpoint, make_endpoint

__all__ = ["LOCAL_KEY", "Case"]

LOCAL_KEY = "local"
"""The key for the local gateway, which accepts every key. It is never sent to another gateway."""


def _ignore(level: Level) -> None:
    """Ignore a level."""


@dataclass
class Case:
    """The options of a diagnosis, and the findings that later checks need.

    ``start_local`` starts the local gateway and returns its address; it is None to use another gateway.
    ``on_level`` is called with the level of the microphone while it is recorded.
    """

    model: str = "soniox"
    device: Union[int, str, None] = None
    microphone: bool = True
    base_url: Optional[str] = None
    world_part: Optional[str] = None
    region: Optional[str] = None
    start_local: Optional[Callable[[], str]] = None
    on_level: Callable[[Level], None] = _ignore
    # Findings.
    chosen: Optional[Device] = None
    found_endpoint: Optional[ServerEndpoint] = None

    @property
    def is_local(self) -> bool:
        """Whether the gateway is the local one, which needs no key and no proxy."""
        return self.start_local is not None

    @property
    def endpoint(self) -> ServerEndpoint:
        """The endpoint of the gateway. Must not be used before ``find_endpoint``."""
        assert self.found_endpoint is not None
        return self.found_endpoint

    def find_endpoint(self, *, proxy: Optional[str]) -> ServerEndpoint:
        """Set and return the endpoint of the gateway. ``proxy`` is that of ``Client``.

        The endpoint contains ``LOCAL_KEY`` instead of the real key, because only layers below the upgrade use
        it. Raises ``ConfigurationError``.
        """
        self.found_endpoint = make_endpoint(
            as_dialect(self.model),
            LOCAL_KEY,
            self.world_part,
            self.region,
            self.base_url,
            None,
            None,
            None,
            proxy,
        )
        return self.found_endpoint
