"""Sessions, from ``Client.listen()`` to ``close()``: their threads, reconnects and channels.

Imports everything below it. Imported by ``client``, ``replay`` and ``progress``.
"""
