"""Which option of a process that runs takes effect how, when the configuration is read anew.

What is not named is not read by that process. docs/reloading.md shows this as a table; a test holds the two together.
"""

from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType


class Process(Enum):
    """Who runs by a configuration. A worker that enforces by itself has parts of both."""

    WATCH = "watch"
    WATCH_ENFORCE = "watch --enforce"
    ENFORCE = "enforce"
    GATE = "gate"


class Effect(Enum):
    """What a changed option takes. NONE: nobody here reads it."""

    AT_ONCE = "at once"
    NEXT_CONNECTION = "next connection"
    RESTART = "restart"
    NONE = "none"


_AT_ONCE, _NEXT, _RESTART, _NONE = Effect.AT_ONCE, Effect.NEXT_CONNECTION, Effect.RESTART, Effect.NONE

_WATCH = {
    "library": _RESTART,
    "library.reload_every_s": _AT_ONCE,
    "streams": _AT_ONCE,
    "discover": _AT_ONCE,
    # A decoder was told its bounds when it was started, and cannot be told others.
    "ingest": _NEXT,
    "ingest.reconnect_first_s": _AT_ONCE,
    "ingest.reconnect_cap_s": _AT_ONCE,
    "attention": _AT_ONCE,
    "redis": _RESTART,
    "signals": _RESTART,
    "evidence": _RESTART,
    "policy": _AT_ONCE,
    "enforce.in_watch": _RESTART,
    # Whose kills wait for a person is no reason to look for an enforcer that answers.
    "enforce.hold": _AT_ONCE,
    "http": _RESTART,
    "worker": _RESTART,
    "worker.most_streams": _AT_ONCE,
    "worker.hang_timeout_s": _NEXT,
    "leases": _RESTART,
    "canary": _RESTART,
    "incident": _RESTART,
    "incident.keep_kib": _NEXT,
    "log": _AT_ONCE,
}

# What the cut rests on besides its servers; all of it is asked for anew at each kill.
_OF_KILLS = {
    "gate.by_address": _AT_ONCE,
    "gate.refuse_for_s": _AT_ONCE,
    "gate.remember_s": _AT_ONCE,
    "enforce.breaker": _AT_ONCE,
}

EFFECTS: Mapping[Process, Mapping[str, Effect]] = MappingProxyType(
    {
        Process.WATCH: _WATCH,
        Process.WATCH_ENFORCE: {
            **_WATCH,
            **_OF_KILLS,
            # Desks are made at the start, one for each media server.
            "discover": _RESTART,
            "enforce.servers": _RESTART,
            # Both take a Redis, and there is none here.
            "enforce.hold": _RESTART,
            "enforce.webhooks": _RESTART,
        },
        Process.ENFORCE: {
            **_OF_KILLS,
            "enforce": _RESTART,
            "enforce.in_watch": _NONE,
            "enforce.hold": _AT_ONCE,
            "enforce.webhooks": _AT_ONCE,
            "redis": _RESTART,
            "signals.hmac_key": _RESTART,
            "signals.hmac_key_file": _RESTART,
            "http.host": _RESTART,
            "log": _AT_ONCE,
        },
        Process.GATE: {
            "gate": _AT_ONCE,
            "gate.listen": _RESTART,
            "gate.ovenmediaengine_secret": _RESTART,
            "gate.refuse_for_s": _NONE,
            "gate.remember_s": _NONE,
            "redis": _RESTART,
            "redis.keep_signals_s": _NONE,
            "log": _AT_ONCE,
        },
    }
)
"""By an option's path, or that of a section: what is named most closely counts."""


def effect_of(option: str, process: Process) -> Effect:
    """`option`: its path, `policy.labels.propaganda.verdict`."""
    effects = EFFECTS[process]
    path = option
    while path:
        if path in effects:
            return effects[path]
        path = path.rpartition(".")[0]
    return Effect.NONE
