"""A program that watches one session in a confined child, and says as JSON what it is told: run by tests."""

import json
import selectors
import sys
from contextlib import suppress
from pathlib import Path

from streamguard.ingest.sources import SourceOptions
from streamguard.worker.children import Decoder
from streamguard.worker.decoder import DecoderJob
from streamguard.worker.forkserver import start_forkserver
from streamguard.worker.messages import Ended, Exceeded, Failed
from streamguard.worker.unprivileged import ids_for_decoders

_SILENT_S = 20.0


def main(url: str) -> None:
    start_forkserver()
    decoder = Decoder(DecoderJob("cam", url, 1, SourceOptions(), 1536, ids_for_decoders()))
    names: list[str] = []
    users: set[int] = set()
    with selectors.DefaultSelector() as selector:
        selector.register(decoder, selectors.EVENT_READ)
        while selector.select(_SILENT_S):
            with suppress(FileNotFoundError):  # a short film's decoder may be over already
                users.add(_user(decoder))
            said = list(decoder.received(most=8))
            names += [type(message).__name__ for message in said]
            if any(isinstance(message, Ended | Failed | Exceeded | None) for message in said) or len(names) > 3:
                break
    why = [str(message.error) for message in said if isinstance(message, Failed)]
    sys.stdout.write(json.dumps({"said": names, "users": sorted(users), "why": why}))
    decoder.end()
    decoder.gone(within_s=5)


def _user(decoder: Decoder) -> int:
    pid = decoder._process.pid
    return Path(f"/proc/{pid}").stat().st_uid if pid else -1


if __name__ == "__main__":
    main(sys.argv[1])
