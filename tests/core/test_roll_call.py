"""streamguard.core.roll_call: what does not fit together among those who share a Redis."""

import time
from dataclasses import replace
from itertools import permutations

import pytest

from streamguard.core.roll_call import MOST_SKEW_S, MOST_TOLD, About, Present, Role, disagreements

WORKER = Present(Role.WORKER, "worker-1@a", key="111111111111")
ENFORCER = Present(
    Role.ENFORCER, "enforcer-1@b", key="111111111111", servers={"nginx-rtmp": "http://127.0.0.1:8080 on b"}
)


def test_those_who_agree() -> None:
    """Nothing is told, of nobody, of one, and of all."""
    assert disagreements(()) == ()
    assert disagreements((ENFORCER,)) == ()
    same = replace(ENFORCER, name="enforcer-2@b")
    assert disagreements((WORKER, ENFORCER, same, replace(WORKER, name="worker-2@c", skew_s=0.9))) == ()


@pytest.mark.parametrize(("key", "words"), [("222222222222", "signs with key 222222222222"), ("", "signs nothing")])
def test_another_key(key: str, words: str) -> None:
    """Both are named, and what comes of it, and what to do; whoever asks in whatever order hears the same."""
    everybody = (replace(WORKER, key=key), ENFORCER)
    (found,) = disagreements(everybody)
    assert found.about is About.KEY
    assert found.detail.startswith(
        f"worker worker-1@a {words}, enforcer enforcer-1@b checks with key 111111111111: it "
    )
    assert "cuts nothing; give both the same signals.hmac_key_file" in found.detail
    assert len({disagreements(order) for order in permutations(everybody)}) == 1


def test_an_enforcer_that_checks_nothing_has_no_key_to_differ() -> None:
    """It was told to accept all."""
    assert disagreements((WORKER, replace(ENFORCER, key=""))) == ()


@pytest.mark.parametrize("where", ["http://127.0.0.1:8080 on c", "http://10.0.0.7:8080"])
def test_two_servers_of_one_name(where: str) -> None:
    """The same address on another machine is another server, too."""
    other = replace(ENFORCER, name="enforcer-1@c", servers={"nginx-rtmp": where, "edge": where})
    (found,) = disagreements((other, WORKER, ENFORCER))
    assert found.about is About.SERVER
    assert f"enforcer enforcer-1@b cuts at http://127.0.0.1:8080 on b, enforcer enforcer-1@c at {where}" in found.detail
    assert "both call it nginx-rtmp" in found.detail
    assert "already_gone; give each server a name of its own, KIND@NAME=URL" in found.detail


@pytest.mark.parametrize(("skew_s", "words"), [(MOST_SKEW_S + 1, "ahead of"), (-MOST_SKEW_S - 1, "behind")])
def test_a_clock_that_is_wrong(skew_s: float, words: str) -> None:
    """By how much, in which direction, and whose."""
    (found,) = disagreements((WORKER, replace(ENFORCER, skew_s=skew_s)))
    assert found.about is About.CLOCK
    assert found.detail.startswith(f"the clock of enforcer enforcer-1@b is 2.0 s {words} that of Redis: ")
    assert found.detail.endswith("synchronise both (NTP)")


def test_a_fleet_in_two_halves_is_told_in_some_lines() -> None:
    """A hundred workers and a hundred enforcers are ten thousand pairs."""
    workers = [replace(WORKER, name=f"w{number}", key="2") for number in range(100)]
    enforcers = [replace(ENFORCER, name=f"e{number}") for number in range(100)]
    assert len(disagreements((*workers, *enforcers))) == MOST_TOLD


@pytest.mark.parametrize("odd", [0, 999])
def test_a_fleet_that_somebody_made_up_takes_no_time(odd: int) -> None:
    """As many as are ever read, of as many servers: a hundred million pairs, of which a few are told."""
    servers = {f"edge-{number}": "http://10.0.0.1:80" for number in range(200)}
    fleet = [replace(ENFORCER, name=f"enforcer-{number:03}", servers=servers) for number in range(1000)]
    fleet[odd] = replace(fleet[odd], servers=servers | {"edge-0": "http://10.0.0.2:80"})
    began_s = time.process_time()
    found = disagreements(fleet)
    assert time.process_time() - began_s < 5.0
    assert len(found) == MOST_TOLD
    assert all("and both call it edge-0:" in one.detail for one in found)
