"""What one session takes of a real decoder child: its words, the most memory it ever had, and how it ended.

weighed("http://127.0.0.1:1234/bomb.m3u8", until=lambda said: ...)
"""

import json
import resource
import selectors
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from streamguard.config.tree import IngestConfig
from streamguard.ingest.news import Blind
from streamguard.ingest.options import SourceOptions
from streamguard.worker.children import Decoder, Rubbish
from streamguard.worker.decoder import DecoderJob, watch
from streamguard.worker.messages import Ended, Exceeded, Failed, Message, pack
from tests.waiting import eventually

MEMORY_MIB = IngestConfig().decoder_memory_mib
_LOOK_EVERY_S = 0.01
_PEAK = "peak "
Word = Message | Rubbish


@dataclass(frozen=True, slots=True)
class Weighed:
    """`ended`: how its process did, None where it was ended by us."""

    said: tuple[Word, ...]
    peak_mib: float
    seconds: float
    ended: int | None

    @property
    def last(self) -> Word | None:
        return self.said[-1] if self.said else None


def watch_and_tell_the_peak(channel: socket.socket, job: DecoderJob) -> None:
    """A session as every child has it; and what it took, at its end."""
    watch(channel, job)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    channel.sendall(pack(Blind(f"{_PEAK}{json.dumps(peak)}")))


def weighed(
    url: str, options: SourceOptions, *, within_s: float = 30.0, until: Callable[[list[Word]], bool] = lambda _: False,
    memory_mib: int = MEMORY_MIB,
) -> Weighed:  # fmt: skip
    """Watches to its end, or until that holds of what it has said. A forkserver must run."""
    began_s = time.monotonic()
    decoder = Decoder(DecoderJob("bomb", url, 1, options, memory_mib), work=watch_and_tell_the_peak)
    said: list[Word] = []
    peak_kib, is_over = 0, False
    with selectors.DefaultSelector() as selector:
        selector.register(decoder, selectors.EVENT_READ)
        while not is_over and not until(said):
            assert time.monotonic() - began_s < within_s, said[-5:]
            peak_kib = max(peak_kib, _peak_kib(decoder))
            if not selector.select(_LOOK_EVERY_S):
                continue
            for word in decoder.received(most=8):
                if isinstance(word, Blind) and word.reason.startswith(_PEAK):
                    peak_kib = max(peak_kib, int(word.reason.removeprefix(_PEAK)))
                elif word is None:
                    is_over = True
                else:
                    said.append(word)
                    is_over = is_over or isinstance(word, Rubbish)
    ended = eventually(lambda: [decoder.exit_code()], what="its end")[0] if is_over else None
    decoder.end()
    assert decoder.gone(within_s=5.0)
    return Weighed(tuple(said), peak_kib / 1024, time.monotonic() - began_s, ended)


def ended_well(weighed: Weighed) -> bool:
    """By a word of its own."""
    return isinstance(weighed.last, Ended | Failed | Exceeded) and weighed.ended == 0


def _peak_kib(decoder: Decoder) -> int:
    """0 where it is gone."""
    with suppress(OSError, IndexError):
        for line in Path(f"/proc/{decoder._process.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1])
    return 0
