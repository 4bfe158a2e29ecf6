"""The WebSocket transport: the endpoint, connecting, and frames in both directions.

``ConnectAttempt`` connects on a thread of its own and hands over a ``WebSocketConnection``. That never
blocks, so ``slng-io`` serves many of them. A ``Wakeup`` ends the wait of ``slng-io``.

The only importer of ``websocket`` (websocket-client). Imports ``dialects`` and ``protocol``. Imported by
``session`` and ``doctor``.
"""
