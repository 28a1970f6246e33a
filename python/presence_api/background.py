"""Heartbeats that neither delay nor break the request that they tell of."""

import atexit
import hashlib
import json
import logging
import os
import threading
from typing import Any, Unpack

from presence_api.client import Presence, outcome_of
from presence_api.models import Beat, Details


class Background:
    """Sends what `beat` is given within a second, from a thread; takes the arguments of `Presence`.
    What fails is logged and forgotten; then it pauses, for as long as is asked or 2 s to 30 s."""

    def __init__(self, *site: Any, **options: Any) -> None:
        self._site, self._options = site, options
        self._begin()
        os.register_at_fork(after_in_child=self._begin)  # thread, connections: the parent's
        atexit.register(self.close)

    def _begin(self) -> None:
        self._waiting: dict[tuple[str, str], Beat] = {}
        self._lock, self._is_over = threading.Lock(), threading.Event()
        self._presence = Presence(*self._site, **self._options)
        self._thread = threading.Thread(target=self._run, name="presence", daemon=True)

    def beat(self, key: str | None, path: str, **details: Unpack[Details]) -> None:
        """Waits for nothing, raises nothing. `key`: of your own session, of which only a hash is
        sent, for it may open an account; without one, nothing is. The last of each page counts."""
        session_id = hashlib.sha256(str(key or "").encode(errors="replace")).hexdigest()[:32]
        try:
            beat: Beat = {"sessionId": session_id, "currentPath": path, **details}
            if len(json.dumps(beat, ensure_ascii=False, allow_nan=False).encode()) > 2048:
                raise ValueError("longer than 2,048 bytes: all that wait with it would be refused")
            with self._lock:
                self._waiting.pop((session_id, path), None)  # the newest goes last
                if key and len(self._waiting) < 1000 and not self._is_over.is_set():
                    self._waiting[session_id, path] = beat
                    if self._thread.ident is None:
                        self._thread.start()
        except (TypeError, ValueError, RuntimeError) as error:  # or there can be no more threads
            logging.getLogger("presence_api").warning("a heartbeat was lost: %s", error)

    def close(self, timeout_s: float = 5) -> None:
        """Sends what waits, and ends; so does the end of the process."""
        self._is_over.set()
        if self._thread.ident is not None:
            self._thread.join(timeout_s)

    def _run(self) -> None:
        pause_s, is_over = 1.0, False
        while not is_over:
            is_over = self._is_over.wait(pause_s)
            with self._lock:
                beats, self._waiting = list(self._waiting.values()), {}
            try:
                if beats:
                    outcome_of(self._presence.batch(beats))
                pause_s = 1.0
            except Exception as error:
                logging.getLogger("presence_api").warning("heartbeats were lost: %s", error)
                if getattr(error, "status", 0) != 422:  # one was invalid, the others were taken
                    pause_s = max(getattr(error, "retry_after", 0), min(2 * pause_s, 30))
        self._presence.http.close()
