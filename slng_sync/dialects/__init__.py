"""The models of the gateway. A further one is a further module here, or a subclass in a user's program."""

from .base import Dialect, as_dialect
from .reson8 import Reson8
from .soniox import Soniox

__all__ = ["Dialect", "Reson8", "Soniox", "as_dialect"]
