"""The rules of one session's conversation with a server, without I/O.

The modules hold the send queue, the clock, the rate limit, the heartbeat, the backoff and the overlap after a
reconnect. None of them has a socket or a thread, and the time is an argument. Imports ``dialects``. Imported
by ``transport``, ``storage``, ``callbacks``, ``session`` and ``replay``.
"""
