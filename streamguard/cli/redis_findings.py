"""What `doctor` finds about Redis: whether it answers, what this user may do there, whose clock is wrong, and whether
all who share it agree.
"""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import replace

from streamguard.cli.findings import Finding, Outcome, tried
from streamguard.config import Config
from streamguard.core.roll_call import MOST_SKEW_S, Present, Role, disagreements
from streamguard.enforce.redis.caller import RedisCaller
from streamguard.enforce.redis.url import checked_target
from streamguard.enforce.sharing.rights import Need, needs_of_a_worker, needs_of_an_enforcer, refused
from streamguard.enforce.sharing.roll import Roll
from streamguard.enforce.signals.redis_streams import RedisStreams
from streamguard.errors import StreamGuardError, UsageError, counted
from streamguard.worker.parts import transport
from streamguard.worker.roll_call import this_process, with_skew

CLOCK = time.time
_MOST_SHOWN = 5


def redis_findings(config: Config, *, clock: Callable[[], float] | None = None) -> Iterator[Finding]:
    """All of it where it answers; else why it does not, and nothing that follows from that."""
    answers = tried("redis", lambda: _answers(config))
    yield answers
    if answers.outcome is not Outcome.OK or config.redis.url is None:
        return
    target = checked_target(config.redis.url.get_secret_value(), prefix=config.redis.prefix)
    with closing(RedisCaller(target, timeout_s=config.redis.timeout_s)) as runner:
        yield from _rights(config, runner)
    with closing(Roll(target, prefix=config.redis.prefix, timeout_s=config.redis.timeout_s)) as roll:
        yield tried("clock", lambda: _clock(roll, clock or CLOCK))
        yield from _agreement(config, roll)


def _answers(config: Config) -> str:
    # A key that cannot be read is a finding of its own, and no reason to say nothing of Redis.
    keyless = config.signals.model_copy(update={"hmac_key": None, "hmac_key_file": None})
    redis = transport(config.model_copy(update={"signals": keyless}), sys.stdout)
    try:
        if not _is_worker(config) and isinstance(redis, RedisStreams):
            with closing(RedisCaller(redis.target, timeout_s=config.redis.timeout_s)) as runner:
                runner.now_ms("check Redis")
            return "answers"
        redis.check()
    finally:
        if isinstance(redis, RedisStreams):
            redis.close()
    return "answers, and takes the script that publishes"


def _is_worker(config: Config) -> bool:
    """A configuration that only cuts is an enforcer's, whose user may not publish."""
    watches = config.library.path is not None or config.streams or config.discover
    return bool(watches) or not _is_enforcer(config)


def _is_enforcer(config: Config) -> bool:
    return bool(config.enforce.servers) and not config.enforce.in_watch


def _rights(config: Config, runner: RedisCaller) -> Iterator[Finding]:
    try:
        needs = needs_of_a_worker(config) if _is_worker(config) else ()
        needs += needs_of_an_enforcer(config) if _is_enforcer(config) else ()
        found = refused(needs, runner)
    except StreamGuardError as error:
        yield Finding("redis permissions", Outcome.PROBLEM, str(error) if error.hint else f"{error}; {_MANUAL}")
        return
    if found is None:
        yield Finding("redis permissions", Outcome.NOTE, "a Redis before 7 does not say what its users may do")
        return
    for vital, outcome in ((True, Outcome.PROBLEM), (False, Outcome.NOTE)):
        some = [need for need in found if need.vital is vital]
        if some:
            yield Finding("redis permissions", outcome, _refusals(some, config.redis.prefix))
    if not found:
        yield Finding("redis permissions", Outcome.OK, f"all that is needed, under {config.redis.prefix}")


_MANUAL = '"Permissions" in docs/signals.md has the ACL lines'


def _refusals(needs: list[Need], prefix: str) -> str:
    """By what does not work, the first one first."""
    by_loss: dict[str, list[str]] = {}
    for need in needs:
        by_loss.setdefault(need.without, []).append(str(need))
    lost = [f"{', '.join(commands)}: {loss}" for loss, commands in list(by_loss.items())[:_MOST_SHOWN]]
    more = f"; and {len(by_loss) - _MOST_SHOWN} more" if len(by_loss) > _MOST_SHOWN else ""
    return f"the user of redis.url may not {'; may not '.join(lost)}{more}. {_MANUAL}, for the prefix {prefix}"


def _clock(roll: Roll, clock: Callable[[], float]) -> str:
    skew_s = _skew_s(roll, clock)
    if abs(skew_s) > MOST_SKEW_S:
        direction = "ahead of" if skew_s > 0 else "behind"
        hint = "signals expire too early or too late, and successors cannot be told: synchronise both by NTP"
        raise UsageError("compare clocks", "", f"this machine is {abs(skew_s):.1f} s {direction} Redis's", hint=hint)
    return f"within {MOST_SKEW_S:.0f} s of Redis's"


def _skew_s(roll: Roll, clock: Callable[[], float]) -> float:
    before_s = clock()
    redis_ms = roll.now_ms()
    return with_skew(Present(Role.WORKER, ""), redis_ms=redis_ms, before_s=before_s, after_s=clock()).skew_s


def _agreement(config: Config, roll: Roll) -> Iterator[Finding]:
    """Of those who are there, and of this configuration with them."""
    try:
        others = roll.present(now_ms=roll.now_ms())
    except StreamGuardError as error:
        yield Finding("fleet", Outcome.NOTE, f"who else is there cannot be seen: {error}; {_MANUAL}")
        return
    mine = []
    with suppress(UsageError):  # a key that cannot be read is a finding of its own
        mine += [this_process(config, Role.WORKER)] if _is_worker(config) else []
        mine += [this_process(config, Role.ENFORCER)] if _is_enforcer(config) else []
    mine = [replace(one, name="of this configuration") for one in mine]
    found = disagreements((*others, *mine))
    for one in found:
        yield Finding(f"fleet {one.about.value}", Outcome.PROBLEM, one.detail)
    if not found:
        workers = sum(one.role is Role.WORKER for one in others)
        there = f"{counted(workers, 'worker')} and {counted(len(others) - workers, 'enforcer')} are there"
        yield Finding("fleet", Outcome.OK, f"{there}; keys, names of servers and clocks fit together")
