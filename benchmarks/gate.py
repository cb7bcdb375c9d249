"""How fast the gate answers: requests at a steady rate, as so many media servers would send them.

    python benchmarks/gate.py                      1,000 requests/s for 10 s, over connections that are kept, then not
    python benchmarks/gate.py --rate 2000 --strikes 50000 --seconds 30

It starts a Redis and a gate of its own and writes strikes, and goes on writing one each 50 ms. Every other request is
by a publisher who was struck. A request is sent when it is due; its time runs from then to the last byte of the answer,
also when it had to wait for the one before it on its connection. A wrong answer ends the benchmark. How late our own
timers were says how busy the machine was with other things: the gate cannot be quicker than that.
"""

import argparse
import asyncio
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from urllib.parse import urlencode

from streamguard.enforce.strikes.ledger import StrikeLedger
from streamguard.enforce.strikes.strike import Strike
from streamguard.types import SessionId, StreamId

CONNECTIONS = 16
STRIKE_EVERY_S = 0.05
START_TIMEOUT_S = 20.0
REFUSED, LET_IN = b"HTTP/1.1 4", b"HTTP/1.1 2"


def request(stream: str, *, keep: bool) -> bytes:
    """As nginx-rtmp asks."""
    who = {"app": "live", "flashver": "FMLE/3.0 (compatible; Lavf60.3.100)", "swfurl": "", "pageurl": ""}
    what = {"tcurl": "rtmp://127.0.0.1:1935/live", "addr": "203.0.113.9", "clientid": "17", "call": "publish"}
    body = urlencode({**who, **what, "name": stream, "type": "live", "user": "anna"}).encode()
    heads = [
        "POST /on_publish HTTP/1.1",
        "Host: gate",
        f"Connection: {'keep-alive' if keep else 'close'}",
        "Content-Type: application/x-www-form-urlencoded",
        f"Content-Length: {len(body)}",
    ]
    return "\r\n".join([*heads, "", ""]).encode() + body


@dataclass(slots=True)
class Load:
    """One run over connections that are kept, or made anew for each request; `took_s` is of each, `late_s` how late it
    was sent.
    """

    port: int
    rate: int
    seconds: float
    keep: bool
    took_s: list[float] = field(default_factory=list)
    late_s: list[float] = field(default_factory=list)

    async def run(self) -> None:
        began_s = time.perf_counter() + 0.2
        await asyncio.gather(*(self._connection(number, began_s) for number in range(CONNECTIONS)))

    async def _connection(self, number: int, began_s: float) -> None:
        asked = [(request("struck", keep=self.keep), REFUSED), (request(f"cam-{number}", keep=self.keep), LET_IN)]
        streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        for turn in range(int(self.rate * self.seconds / CONNECTIONS)):
            started_s = began_s + (turn * CONNECTIONS + number) / self.rate
            if (left_s := started_s - time.perf_counter()) > 0:
                await asyncio.sleep(left_s)
                self.late_s.append(time.perf_counter() - started_s)
                started_s = time.perf_counter()
            streams = streams or await asyncio.open_connection("127.0.0.1", self.port)
            sent, expected = asked[turn % 2]
            streams[1].write(sent)
            answer = await read_answer(streams[0])
            self.took_s.append(time.perf_counter() - started_s)
            if not answer.startswith(expected):
                raise SystemExit(f"wrong answer to {sent!r}: {answer!r}")
            if not self.keep:
                streams[1].close()
                streams = None

    def line(self) -> str:
        at = {"p50": 0.5, "p99": 0.99, "p99.9": 0.999, "max": 1.0}
        found = {name: percentile_ms(self.took_s, share) for name, share in at.items()}
        how = "kept" if self.keep else "one each"
        figures = "  ".join(f"{name} {value:6.2f} ms" for name, value in found.items())
        late = f"(our timers late: p99 {percentile_ms(self.late_s, 0.99):.2f} ms)"
        return f"{self.rate} requests/s for {self.seconds:g} s, connections {how:8}  {figures}  {late}"


def percentile_ms(times_s: list[float], share: float) -> float:
    ordered_s = sorted(times_s) or [0.0]
    return ordered_s[min(int(share * len(ordered_s)), len(ordered_s) - 1)] * 1000


async def read_answer(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    lengths = [int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    await reader.readexactly(sum(lengths))
    return head


def strike(number: int, stream: str) -> Strike:
    session = SessionId(f"1-{number}")
    return Strike(f"sig_{number}", (f"stream:live/{stream}",), StreamId(f"live/{stream}"), session, "ref", "known", 0.0)


@contextmanager
def striking(ledger: StrikeLedger) -> Iterator[None]:
    """A strike every now and then, as long as it lasts."""
    stop = threading.Event()

    def strike_on() -> None:
        number = 1_000_000
        while not stop.wait(STRIKE_EVERY_S):
            ledger.add(strike(number, f"new-{number}"))
            number += 1

    thread = threading.Thread(target=strike_on)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


@contextmanager
def running(*command: str, port: int, asked: bytes, answer: bytes) -> Iterator[None]:
    """A program that listens, once it answers so."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        until_s = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < until_s:
            with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=START_TIMEOUT_S) as sock:
                sock.sendall(asked)
                if sock.recv(1000).startswith(answer):
                    break
            time.sleep(0.05)
        yield
    finally:
        process.terminate()
        process.wait(10)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return int(sock.getsockname()[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=int, default=1000, help="requests a second [%(default)s]")
    parser.add_argument("--seconds", type=float, default=10.0, help="of each run [%(default)s]")
    parser.add_argument("--strikes", type=int, default=1000, help="active ones [%(default)s]")
    options = parser.parse_args()
    redis = shutil.which("redis-server")
    if redis is None:
        raise SystemExit("redis-server is not installed")
    redis_port, gate_port = free_port(), free_port()
    url = f"redis://127.0.0.1:{redis_port}"
    serve = (redis, "--port", str(redis_port), "--bind", "127.0.0.1", "--save", "", "--dir", tempfile.gettempdir())
    listen = ("--redis", url, "--listen", f"127.0.0.1:{gate_port}", "--when-redis-is-away", "open")
    with running(*serve, port=redis_port, asked=b"PING\r\n", answer=b"+PONG"):
        ledger = StrikeLedger(url, prefix="{streamguard}:", timeout_s=5.0)
        for number in range(options.strikes):
            ledger.add(strike(number, "struck" if number == 0 else f"known-{number}"))
        command = (sys.executable, "-m", "streamguard", "gate", *listen)
        ready = b"GET /readyz HTTP/1.1\r\nHost: gate\r\n\r\n"
        with running(*command, port=gate_port, asked=ready, answer=LET_IN), striking(ledger):
            for keep in (True, False):
                load = Load(gate_port, options.rate, options.seconds, keep)
                asyncio.run(load.run())
                print(load.line())


if __name__ == "__main__":
    main()
