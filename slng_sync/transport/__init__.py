"""The WebSocket: the endpoint, connecting to it, frames in and out.

The only importer of ``websocket`` (websocket-client). Imports ``dialects`` and ``protocol``. Imported by
``session`` and ``doctor``.
"""
