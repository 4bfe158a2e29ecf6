"""Files that a session writes: the recording, the trace, the spill of a full send queue.

``writer`` has the thread ``slng-writer``, which does all disk access of a session. ``recorder``,
``trace_writer`` and ``spill`` queue what it writes. ``files`` opens files privately. ``trace_reader`` reads
traces for ``replay``.

Imports ``protocol`` and ``transport``. Imported by ``session`` and ``replay``.
"""
