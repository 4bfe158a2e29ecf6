"""The user's functions: their registry, the mailbox in front of them, and where they run.

Imports ``events`` and ``errors``. Imported by ``session``, ``replay`` and ``client``.
"""
