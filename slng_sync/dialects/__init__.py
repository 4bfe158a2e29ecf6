"""The dialects: the wire format of each model, without I/O.

``base`` is the common part. ``reson8`` and ``soniox`` are the models with their decoders (``tokens`` for
Soniox). ``runs`` groups tokens, ``words`` makes words of tokens, ``packed`` stores messages in little memory,
``parsing`` parses JSON, and ``failures`` decodes error messages.

Imports ``events``, ``errors`` and ``audio.format``. Imported by ``protocol`` and everything above it. To
add a model, add a module here or a subclass of ``Dialect`` in a program.
"""

from .base import Dialect, as_dialect
from .reson8 import Reson8
from .soniox import Soniox

__all__ = ["Dialect", "Reson8", "Soniox", "as_dialect"]
