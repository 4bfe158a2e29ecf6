"""One stream's conversation with a server, without I/O: what to send next, what an answer means.

The send queue, the clock, the rate limit, the heartbeat, the backoff, the overlap after a reconnect. Pure: no
socket and no thread; the time is an argument. Imports ``dialects``. Imported by ``transport``, ``storage``,
``callbacks``, ``session`` and ``replay``.
"""
