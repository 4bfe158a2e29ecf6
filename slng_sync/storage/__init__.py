"""Files that a session writes: the recording, the spill of a full send queue, the trace.

Imports ``protocol`` and ``transport``. Imported by ``session`` and ``replay``.
"""
