"""Leases on streams, in Redis. Its rule is core/leases.py; each step is one script, lease_steps.lua."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from streamguard.core.leases import Fleet, Lease, Member, WorkerId
from streamguard.enforce.redis.caller import RedisCaller
from streamguard.enforce.redis.connect import redis_now_ms
from streamguard.enforce.redis.limits import no_redis
from streamguard.enforce.redis.script import load_script, run_script
from streamguard.enforce.redis.url import RedisTarget, checked_target
from streamguard.types import StreamId

LEASE_S = 4.0
"""A worker that is not heard of for so long has lost its streams: three of its turns may fail. Of the 10 s within which
others must see them, that leaves 6 for what cannot be hurried: a decoder's start, the connection, the next keyframe."""

_STEPS = load_script(__name__, "lease_steps.lua")
_NOT_OFFERED = "-"
_LONGEST_NUMBER = 15
"""As the script has it: what it writes can be read, whatever somebody wrote before."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """What one worker wants of the leases, by stream. `renew` and `release`: the epoch that it has, 0 for none."""

    renew: Mapping[StreamId, int]
    claim: Iterable[StreamId] = ()
    offer: Iterable[tuple[StreamId, int, WorkerId]] = ()
    release: Iterable[tuple[StreamId, int]] = ()

    def words(self) -> list[bytes | str]:
        """As the script takes them: what is given back first, for there may be a new wish for it."""
        words: list[bytes | str] = []
        for stream, epoch in self.release:
            words += ["release", field_of(stream), str(epoch)]
        for stream, epoch in self.renew.items():
            words += ["renew", field_of(stream), str(epoch)]
        for stream in self.claim:
            words += ["claim", field_of(stream), "0"]
        for stream, epoch, worker in self.offer:
            words += ["offer", field_of(stream), f"{epoch} {worker}".encode("utf-8", "surrogateescape")]
        return words


def field_of(stream: StreamId) -> bytes:
    """Names are a publisher's: whatever they hold, two of them are two fields."""
    return stream.encode("utf-8", "surrogateescape")


class LeaseBook:
    """Connects when first used; one thread at a time. Each call raises SignalsUnreachable or SignalsRejected."""

    def __init__(self, target: str | RedisTarget, *, prefix: str, timeout_s: float) -> None:
        """Raises UsageError: the URL, or a prefix that a Cluster splits."""
        self.target = checked_target(target, prefix=prefix)
        self._caller = RedisCaller(self.target, timeout_s=timeout_s)
        self._keys = tuple(f"{prefix}leases:{name}" for name in ("held", "workers", "epoch"))

    def step(self, me: WorkerId, report: Member | None, wishes: Wishes, *, now_ms: int | None = None) -> Fleet:
        """Make known what a worker has and wants, and see how all stand then. `report`: None when it leaves; Redis
        reckons its end. `now_ms`: instead of Redis's clock, for tests.
        """
        told = "" if report is None else f"{report.most_streams} {report.unwatched} {int(report.is_draining)}"
        time = "" if now_ms is None else str(now_ms)
        arguments = (time, round(1000 * LEASE_S), me, told, *wishes.words())
        with self._caller.asking("share streams in") as client:
            return _fleet(run_script(client, _STEPS, keys=self._keys, arguments=arguments))

    def look(self) -> Fleet:
        """How all stand, by somebody who is no worker and may only read."""
        with self._caller.asking("read leases in") as client:
            now_ms = redis_now_ms(client, self.target)
            held, members = (_flat(client.execute_command("HGETALL", key)) for key in self._keys[:2])
            return _fleet([str(now_ms).encode(), held, members])

    def close(self) -> None:
        """Harmless when called twice, or before anything was asked."""
        self._caller.close()


def _flat(answer: object) -> list[object]:
    """redis-py makes a dict of HGETALL's answer, where it knows the command."""
    if isinstance(answer, dict):
        return [part for pair in answer.items() for part in pair]
    if isinstance(answer, list):
        return answer
    raise no_redis()


def _fleet(answer: object) -> Fleet:
    """Whoever may write to the keys can write anything: what is no lease, and no worker, is as good as not there."""
    match answer:
        case [bytes(now), list(held), list(members)]:
            # As the script has it: nothing lasts longer than a lease, whatever somebody wrote.
            latest_ms = int(now) + round(2000 * LEASE_S)
            leases = ((stream, lease) for stream, words in _pairs(held) if (lease := _lease(words)))
            workers = ((worker, one) for worker, words in _pairs(members) if (one := _member(words)))
            return Fleet(
                int(now),
                {StreamId(_text(stream)): lease for stream, lease in leases if lease.until_ms <= latest_ms},
                {WorkerId(_text(worker)): one for worker, one in workers if one.until_ms <= latest_ms},
            )
    raise no_redis()


def _pairs(flat: list[object]) -> Iterable[tuple[bytes, list[str]]]:
    for key, value in zip(flat[::2], flat[1::2], strict=True):
        if isinstance(key, bytes) and isinstance(value, bytes):
            yield key, _text(value).split(" ")


def _lease(words: list[str]) -> Lease | None:
    match words:
        case [owner, epoch, until_ms, offered] if owner and offered and _are_numbers(epoch, until_ms):
            offered_to = None if offered == _NOT_OFFERED else WorkerId(offered)
            return Lease(WorkerId(owner), int(epoch), int(until_ms), offered_to)
    return None


def _member(words: list[str]) -> Member | None:
    match words:
        case [until_ms, most, unwatched, "0" | "1" as draining] if _are_numbers(until_ms, most, unwatched):
            return Member(int(until_ms), int(most), int(unwatched), is_draining=draining == "1")
    return None


def _are_numbers(*words: str) -> bool:
    return all(word.isascii() and word.isdigit() and len(word) <= _LONGEST_NUMBER for word in words)


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")
