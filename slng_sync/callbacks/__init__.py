"""The user's callbacks: their registry, the mailbox of each session, and the threads they run on.

``registry``   which functions are registered, and what happens when one raises
``mailbox``    the queue of a session's deliveries
``targets``    where a mailbox is drained: a thread, an executor, a GUI's loop, ``poll()``
``delivery``   delivers transcripts to the ``TranscriptLog`` and the mailbox

Imports ``errors``, ``log``, ``events``, ``transcript`` and ``protocol``. Imported by ``session``, ``replay``
and ``client``.
"""
