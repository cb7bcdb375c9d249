"""streamguard.enforce.redis.url: the URLs an operator may write."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamguard.enforce.redis.url import RedisKind, parse_redis_url
from streamguard.errors import UsageError


@pytest.mark.parametrize(
    ("url", "kind", "nodes", "shown"),
    [
        ("redis://", RedisKind.SERVER, (("localhost", 6379),), "redis://localhost:6379"),
        ("redis://host", RedisKind.SERVER, (("host", 6379),), "redis://host:6379"),
        ("redis://u:p@host:7000/2", RedisKind.SERVER, (("host", 7000),), "redis://host:7000/2"),
        ("redis://:p@[::1]:7000", RedisKind.SERVER, (("::1", 7000),), "redis://[::1]:7000"),
        ("rediss://host", RedisKind.SERVER, (("host", 6379),), "rediss://host:6379"),
        (
            "redis+sentinel://:p@a,b:7000/main/3",
            RedisKind.SENTINEL,
            (("a", 26379), ("b", 7000)),
            "redis+sentinel://a:26379,b:7000/main/3",
        ),
        ("redis+cluster://a:1,b:2", RedisKind.CLUSTER, (("a", 1), ("b", 2)), "redis+cluster://a:1,b:2"),
        ("unix:///run/redis.sock?db=1", RedisKind.UNIX, (), "unix:///run/redis.sock"),
    ],
)
def test_each_form_is_understood(*, url: str, kind: RedisKind, nodes: tuple[tuple[str, int], ...], shown: str) -> None:
    """Kind, addresses with their default ports, and what may be shown of it."""
    target = parse_redis_url(url)
    assert (target.kind, target.nodes, str(target)) == (kind, nodes, shown)


def test_every_part_is_where_it_belongs() -> None:
    """Credentials are percent-decoded, options kept."""
    url = "redis+sentinel://us%40er:pa%2Fss@h/main/4?sentinel_username=su&sentinel_password=sp&ssl=true&ssl_ca_certs=/ca.pem"
    target = parse_redis_url(url)
    assert (target.login.username, target.login.password) == ("us@er", "pa/ss")
    assert (target.sentinel_login.username, target.sentinel_login.password) == ("su", "sp")
    assert (target.service, target.db, target.tls, target.tls_files) == (
        "main",
        4,
        True,
        (("ssl_ca_certs", "/ca.pem"),),
    )
    socket = parse_redis_url("unix:///run/my%20redis.sock?db=2&username=u&password=p")
    assert (socket.path, socket.db, socket.login.password) == ("/run/my redis.sock", 2, "p")
    assert parse_redis_url("unix://u:p@/run/r.sock").login.username == "u"


def test_what_is_shown_holds_no_credentials() -> None:
    """Neither str nor repr, and foreign text is cleaned of them."""
    target = parse_redis_url("redis+sentinel://alice:secret@h/main?sentinel_password=hidden")
    assert not any(word in f"{target} {target!r}" for word in ("alice", "secret", "hidden"))
    assert target.redacted("user alice with secret, hidden") == "user *** with ***, ***"


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("", "not a Redis URL"),
        ("localhost:6379", "not a Redis URL"),
        ("http://:secret@host", "not a Redis URL"),
        ("redis://a,:secret@b,c", "several hosts"),
        ("redis://:secret@host:port", "cannot be read"),
        ("redis://:secret@host:70000", "cannot be read"),
        ("redis://:secret@host:0", "cannot be read"),
        ("redis://:secret@[::1", "cannot be read"),
        (f"redis://:secret@{'x' * 70}", "cannot be read"),
        ("redis://:secret@host/one", "database is no number"),
        ("redis://:secret@host?timeout=1", "unknown option 'timeout'"),
        ("redis+sentinel://:secret@host", "no service name"),
        ("redis+cluster://:secret@host/1", "database 0 only"),
        ("unix://:secret@host/run/r.sock", "three slashes"),
        ("unix://", "three slashes"),
    ],
)
def test_what_is_wrong_is_said_without_the_password(url: str, problem: str) -> None:
    """A usage error with the problem and an example, and nothing of the URL that may be secret."""
    with pytest.raises(UsageError, match=problem) as caught:
        parse_redis_url(url)
    assert "secret" not in str(caught.value)


@given(st.sampled_from(["redis", "rediss", "unix", "redis+sentinel", "redis+cluster"]), st.text())
def test_any_text_is_understood_or_a_usage_error(scheme: str, rest: str) -> None:
    """Nothing else comes out of the parser."""
    with contextlib.suppress(UsageError):
        parse_redis_url(f"{scheme}://{rest}")
