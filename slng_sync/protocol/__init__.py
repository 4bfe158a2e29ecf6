"""One stream's conversation with a server, without I/O: what to send next, and what an answer means.

The send queue, the clock, the rate limit, the heartbeat, the backoff and the overlap after a reconnect. Pure: no
socket, no thread; the time is an argument. Imports ``dialects``. Imported by ``transport``, ``storage``, ``session``
and ``replay``.
"""
