"""The dialects: what each model says on the wire, as values without I/O.

`base` has what all share; `reson8` and `soniox` are the models, each with its decoder (that of Soniox is
`tokens`). `runs` finds runs of like tokens, `words` makes words of tokens, `packed` keeps messages small,
`parsing` reads JSON and `failures` error messages.

Imports ``events``, ``errors`` and ``audio.format``. Imported by ``protocol`` and everything above it. A
further model is a further module here, or a subclass of ``Dialect`` in a user's program.
"""

from .base import Dialect, as_dialect
from .reson8 import Reson8
from .soniox import Soniox

__all__ = ["Dialect", "Reson8", "Soniox", "as_dialect"]
