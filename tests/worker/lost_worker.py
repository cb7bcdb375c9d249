"""A worker for decoder children to lose, as a process: `python -m tests.worker.lost_worker WORK [ARGUMENT...]`."""

import signal
import sys
import threading

from streamguard.ingest.news import Alive, Blind
from streamguard.worker.children import Decoder
from streamguard.worker.forkserver import start_forkserver
from tests.worker import works
from tests.worker.works import job

SECRETS = {"SG__REDIS__URL": "redis://:open-sesame@127.0.0.1/0", "SG__SIGNALS__HMAC_KEY": "open-sesame-open-sesame"}
WORKS = {"hang": works.hang, "print_signals": works.print_signals, "tell_what_it_holds": works.tell_what_it_holds}


def main() -> None:
    """A worker with two decoders; tells on standard error what they say, waits for SIGTERM, and starts another one."""
    asked = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: asked.set())
    signal.signal(signal.SIGINT, lambda *_: asked.set())
    start_forkserver()
    work = WORKS[sys.argv[1]]
    decoders = [Decoder(job(session=session), work=work) for session in (1, 2)]
    for decoder in decoders:
        _tell(decoder)
    _line("ready")
    asked.wait()
    last = Decoder(job(session=3), work=work)
    _tell(last)
    _line("running " + str(sum(decoder.exit_code() is None for decoder in (*decoders, last))))
    for decoder in (*decoders, last):
        decoder.end()


def _tell(decoder: Decoder) -> None:
    """What it says, up to its end, or until it says that it lives."""
    channel = decoder._channel
    while True:
        channel.settimeout(20)
        for message in decoder.received(most=1):
            if message is None or isinstance(message, Alive):
                return
            _line(message.reason if isinstance(message, Blind) else str(message))


def _line(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


if __name__ == "__main__":
    main()
