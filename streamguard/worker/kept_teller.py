"""In a decoder child: tells the worker what it has kept of keyframes that it passed over, when it is asked.

One keyframe at a time, between its other work: what the stream shows now goes before what it has shown. Whoever asks
may have no time: so the newest comes first.
"""

import time
from collections.abc import Callable
from typing import Protocol

from streamguard.core.features import STREAM
from streamguard.core.fingerprints import fingerprints
from streamguard.ingest.kept import KeptKeyframes
from streamguard.spare_memory import NO_MEMORY, give_back, is_out_of_memory
from streamguard.worker.messages import Kept, KeptTold

LAST_WORDS_S = 1.0
"""For so long the end of a stream waits for what is kept of it: who is cut by hand has shown what is asked for next."""


class Asked(Protocol):
    """What the worker has said, as far as it is of use here."""

    kept_asked_for: bool

    def listen(self) -> None: ...


class KeptTeller:
    """One session's. `work` is to be called again and again."""

    def __init__(self, kept: KeptKeyframes, *, asked: Asked, tell: Callable[[Kept | KeptTold], None]) -> None:
        self._kept = kept
        self._asked = asked
        self._tell = tell

    def work(self) -> bool:
        """Tell of one keyframe, if they are asked for; False: there is nothing to tell. Never waits for the worker to
        ask; raises ConnectionError where it is gone.
        """
        self._asked.listen()
        if not self._asked.kept_asked_for:
            return False
        self._kept.forget_older(time.monotonic())
        if self._kept:
            self._tell_newest()
            return True
        self._asked.kept_asked_for = False
        self._kept.forget()
        give_back()
        self._tell(KeptTold())
        return False

    def last_words(self, *, within_s: float = LAST_WORDS_S) -> None:
        """The stream is over: all that is kept of it, asked for or not, as far as there is time."""
        until_s = time.monotonic() + within_s
        self._kept.forget_older(time.monotonic())
        while self._kept and time.monotonic() < until_s:
            self._tell_newest()

    def _tell_newest(self) -> None:
        try:
            frame = self._kept.taken()
            keyframe = None if frame is None else fingerprints(frame, local=STREAM)
        except NO_MEMORY as error:
            if not is_out_of_memory(error):
                raise
            self._kept.forget()  # of use, but not worth the stream
            return
        if keyframe is not None:
            self._tell(Kept(keyframe))
