"""What is examined, and what is known of it so far."""

from dataclasses import dataclass
from typing import Callable, Optional, Union

from ..dialects import as_dialect
from ..events import Level
from ..microphone.device import Device
from ..transport.endpoint import ServerEndpoint, make_endpoint

__all__ = ["LOCAL_KEY", "Case"]

LOCAL_KEY = "local"
"""The local gateway lets in every key; the others are not told this one."""


def _nothing(level: Level) -> None:
    """Nobody watches."""


@dataclass
class Case:
    """What a user has asked for; and what the checks have found, for those that follow.

    ``start_local`` starts the local gateway and returns its address, where that is to be used. ``hear`` is
    called with the level of what the microphone gives, while it is listened to.
    """

    model: str = "soniox"
    device: Union[int, str, None] = None
    microphone: bool = True
    base_url: Optional[str] = None
    world_part: Optional[str] = None
    region: Optional[str] = None
    start_local: Optional[Callable[[], str]] = None
    hear: Callable[[Level], None] = _nothing
    # What was found.
    chosen: Optional[Device] = None
    found_route: Optional[ServerEndpoint] = None

    @property
    def is_local(self) -> bool:
        """Whether the gateway is our own, which needs no key and no proxy."""
        return self.start_local is not None

    @property
    def route(self) -> ServerEndpoint:
        """How to reach the gateway. Only there once that was found out."""
        assert self.found_route is not None
        return self.found_route

    def find_route(self, *, proxy: Optional[str]) -> ServerEndpoint:
        """How to reach the gateway; ``proxy`` as for ``Client``. Raises ``ConfigurationError``.

        For the layers below the upgrade, which are told no key: the one in it is none.
        """
        self.found_route = make_endpoint(
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
        return self.found_route
