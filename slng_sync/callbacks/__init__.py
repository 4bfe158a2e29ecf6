"""The user's functions: their registry, a session's mailbox in front of them, and where they run.

``registry``   which functions are registered, and what happens when one raises
``mailbox``    the queue of a session's deliveries
``targets``    where a mailbox is drained: a thread, an executor, a GUI's loop, ``poll()``
``delivery``   the way of a transcript into its ``TranscriptLog`` and its mailbox

Imports ``errors``, ``log``, ``events``, ``transcript`` and ``protocol``. Imported by ``session``, ``replay``
and ``client``.
"""
