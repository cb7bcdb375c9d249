"""streamguard.worker.webhooks: platforms that come, change and leave while an enforcer runs, on a real Redis."""

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import SecretStr

from streamguard.config import Config, WebhookConfig
from streamguard.errors import UsageError
from streamguard.worker.webhooks import webhook_names
from tests.http_server import Web
from tests.redis_servers import RedisServer
from tests.waiting import eventually
from tests.worker.test_enforcing import running
from tests.worker.test_safety import a_config, hearing, kill_now, scraped, send, to, types


def test_webhooks_need_names_and_keys_of_their_own(redis_server: RedisServer, web: Web) -> None:
    """Two of one name would share what they are told; a URL that is none is an error, without its password."""
    with pytest.raises(UsageError, match="two are called so"):
        webhook_names(a_config(redis_server, to(web), to(web)))
    assert webhook_names(a_config(redis_server, to(web), to(web, name="b"))) == ("127.0.0.1", "b")
    with pytest.raises(UsageError, match="webhook") as caught:
        webhook_names(a_config(redis_server, WebhookConfig(url=SecretStr("ftp://u:Secr3t@x"))))
    assert "Secr3t" not in str(caught.value)


def told(config: Config, *webhooks: WebhookConfig) -> Config:
    """The same enforcer with these."""
    return config.model_copy(update={"enforce": config.enforce.model_copy(update={"webhooks": webhooks})})


def threads() -> set[str]:
    return {thread.name for thread in threading.enumerate() if thread.name.startswith("teller-")}


def test_platforms_come_and_leave_while_it_runs(redis_server: RedisServer, web: Web) -> None:
    """One that comes is told what has not expired, one that is as before is told once, one that has left no more."""
    heard = hearing(web)
    first, second = to(web, name="first"), to(web, name="second", verdicts=("kill",))
    config = a_config(redis_server, first)
    count: Callable[[str], float] = lambda name: scraped(service)[  # noqa: E731 - short
        f'streamguard_webhook_signals_total{{outcome="told",webhook="{name}"}}'
    ]
    with running(config) as service:
        send(redis_server, kill_now(0))
        eventually(lambda: len(heard) == 1, what="the first is told")
        service._change(told(config, first, second))
        eventually(lambda: len(heard) == 2, what="the second is told")
        send(redis_server, kill_now(1))
        eventually(lambda: (count("first"), count("second")) == (2, 2), what="both are told")
        service._change(told(config, second))
        eventually(lambda: threads() == {"teller-second"}, what="the second alone")
        send(redis_server, kill_now(2))
        eventually(lambda: count("second") == 3, what="the second is told")
        assert types(heard) == ["kill"] * 5
        assert count("first") == 2
        assert len(service._kill_terms._permits) == 3, "one of the desk, and two of the webhook"
    eventually(lambda: not threads(), what="the end of all")


def test_one_that_changes_goes_on_where_it_was(redis_server: RedisServer, web: Web) -> None:
    """Under its name, to another URL: what was told is not told again."""
    heard = hearing(web)
    one = to(web, name="platform")
    config = a_config(redis_server, one)
    with running(config) as service:
        send(redis_server, kill_now(0))
        eventually(lambda: len(heard) == 1, what="it is told")
        web.pages["/other"] = web.pages["/hook"]
        service._change(told(config, one.model_copy(update={"url": SecretStr(web.url("/other"))})))
        send(redis_server, kill_now(1))
        eventually(lambda: len(heard) == 2, what="it is told there")
    assert len({event["id"] for event in heard}) == 2


def test_nothing_has_changed_where_one_is_wrong(redis_server: RedisServer, web: Web, tmp_path: Path) -> None:
    """Two of one name, or a key that cannot be read: the others are told as before."""
    first = to(web, name="first")
    config = a_config(redis_server, first)
    with running(config) as service:
        before = service._webhooks._webhooks
        for wrong in (to(web, name="first"), to(web, name="x", key_file=tmp_path / "none")):
            with pytest.raises(UsageError):
                service._change(told(config, first, to(web, name="new"), wrong))
        assert service._webhooks._webhooks == before
        assert len(service._kill_terms._permits) == 3
        eventually(lambda: threads() == {"teller-first"}, what="the first alone")
