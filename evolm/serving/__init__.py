"""``evolm serve``: a saved prompt or committee behind a small HTTP server.

``server`` binds, handles signals and runs uvicorn; ``application`` has the routes; ``entrance`` refuses requests of
foreign pages and writes the log; ``bodies`` reads requests; ``batches`` answers them, those that wait together;
``answers`` and ``chat`` write responses; ``about`` says what is served. Only ``application`` and ``server`` need the
packages of the extra ``serve``.
"""

from __future__ import annotations
