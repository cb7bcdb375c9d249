"""Any valid configuration, for property tests: some values of most options, that differ from their defaults."""

from typing import Any

from hypothesis import strategies as st

from streamguard.config import Config

SECONDS = st.sampled_from([1.0, 2.5, 30.0])
NAMES = st.sampled_from(["a", "b-2", "live/cam"])
VERDICTS = st.sampled_from(["review", "limit", "kill"])
COUNTS = st.integers(1, 9)
URLS = st.sampled_from(["rtmp://u:hidden@h/live/1", "rtmp://h/live/2", "https://h/x.m3u8?token=hidden"])
PATHS = st.sampled_from(["/a", "/b"])


def some(options: dict[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[dict[str, Any]]:
    """A section with any of these, and the rest left out."""
    return st.fixed_dictionaries({}, optional=options)


_LABEL = some({"verdict": VERDICTS, "time_blind": VERDICTS, "kill_nats": st.sampled_from([12.0, 20.0])})
_STREAMS = st.lists(some({"name": NAMES}).flatmap(lambda one: URLS.map(lambda url: one | {"url": url})), max_size=3)
_SERVER = st.builds(
    lambda name, api, more: {"kind": "nginx-rtmp", "name": name, "api": api, "pull": "rtmp://u:hidden@h"} | more,
    st.sampled_from(["edge-1", "edge-2"]),
    st.sampled_from(["http://u:hidden@h/stat", "http://h2/stat"]),
    some({"include": st.just(["live/*"]), "most_streams": COUNTS}),
)

TREES = some(
    {
        "library": some({"path": PATHS, "reload_every_s": SECONDS}),
        "streams": _STREAMS.filter(lambda streams: _differ([one["name"] for one in streams if "name" in one])),
        "discover": st.lists(_SERVER, max_size=2).filter(lambda servers: _differ([one["name"] for one in servers])),
        "ingest": some(
            {
                "read_timeout_s": SECONDS, "reconnect_first_s": st.just(0.5), "reconnect_cap_s": SECONDS,
                "allow_hosts": st.lists(NAMES, max_size=2), "codecs": st.just(["h264"]), "max_pixels": st.just(5000),
            }
        ),
        "attention": some({"time_to_kill_s": SECONDS, "always": st.lists(NAMES, max_size=2)}),
        "redis": some({"url": st.sampled_from(["redis://u:hidden@h", "redis://h2"]), "timeout_s": SECONDS}),
        "signals": some({"hmac_key": st.just("hidden hidden hidden"), "expires_after_s": SECONDS, "outbox": PATHS}),
        "evidence": some({"keep_days": SECONDS}),
        "policy": some(
            {
                "verdict": VERDICTS, "time_blind": VERDICTS,
                "labels": st.dictionaries(st.sampled_from(["a", "b.c", "d"]), _LABEL, max_size=3),
                "incident": some({"verdict": VERDICTS, "kill_nats": st.just(15.0), "streams_believed": COUNTS}),
            }
        ),
        "gate": some(
            {
                "when_redis_is_away": st.sampled_from(["open", "closed"]), "by_address": st.booleans(),
                "ovenmediaengine_secret": st.just("hidden"), "refuse_for_s": st.just([1.0, 2.0]),
                "away_after_s": st.sampled_from([2.0, 60.0]),
            }
        ),
        "enforce": some(
            {
                "servers": st.just(["nginx-rtmp=http://u:hidden@h"]), "name": NAMES,
                "breaker": some({"kills": COUNTS, "streams_within_s": SECONDS}),
                "hold": some({"for_s": SECONDS}) | st.just({"labels": ["a"], "then": "kill"}),
                "webhooks": st.just([{"url": "https://u:hidden@h"}]),
            }
        ),
        "http": some({"port": COUNTS, "host": NAMES}),
        "worker": some({"name": NAMES, "most_streams": COUNTS, "hang_timeout_s": SECONDS}),
        "leases": some({"enabled": st.booleans()}),
        "canary": some({"period_s": SECONDS}),
        "log": some({"level": st.sampled_from(["debug", "error"]), "format": st.just("json")}),
    }
)  # fmt: skip
"""As a file holds them; "hidden" is in secrets alone."""

CONFIGS = TREES.map(Config.model_validate)


def _differ(names: list[str]) -> bool:
    return len(set(names)) == len(names)
