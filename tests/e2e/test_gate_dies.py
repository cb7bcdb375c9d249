"""`streamguard gate` stands still, and is killed (kill -9) while nginx waits for its answers."""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from streamguard.servers.known import media_server
from streamguard.servers.spec import read_spec
from tests.e2e.gates import Gate, guarded_nginx
from tests.e2e.processes import unread_at
from tests.local_servers import RtmpServer
from tests.scenes import Clips
from tests.strikes import a_strike
from tests.waiting import eventually


@pytest.fixture
def nginx(tmp_path: Path, gate: Gate) -> Iterator[RtmpServer]:
    with guarded_nginx(tmp_path / "nginx", gate) as server:
        yield server.start()


def on_the_air(nginx: RtmpServer) -> set[str]:
    publishers = media_server(read_spec(f"nginx-rtmp={nginx.stat_url}")).publishers()
    return {each.stream.removeprefix("live/") for each in publishers}


def known(gate: Gate, *, count: int) -> set[str]:
    """The keys that the book has, when the gate knows so many."""
    eventually(lambda: json.loads(gate.page("/readyz")[1])["strikes"] == count, what=f"{count} strikes")
    return {each.key for each in gate.book.active()}


@pytest.mark.promise(7, "the gate, kill -9, in the middle of its answers")
def test_a_gate_that_is_killed_while_nginx_waits_lets_in_and_refuses_as_before_when_it_is_back(
    nginx: RtmpServer, gate: Gate, clips: Clips
) -> None:
    """Whoever waits is let in at once, as config/nginx-rtmp.conf chooses, and nginx's log says why; who publishes goes
    on. The next gate knows every strike of before, and one that was made meanwhile.
    """
    struck = [f"struck-{number}" for number in range(3)]
    gate.start()
    for number, name in enumerate(struck[:2]):
        gate.book.add(a_strike(number, keys=(f"stream:live/{name}",)))
    before = known(gate, count=2)
    with ExitStack() as publishers:
        innocent = publishers.enter_context(nginx.publish("innocent", clips.unrelated))
        eventually(lambda: "innocent" in on_the_air(nginx), what="the innocent one")
        first = publishers.enter_context(nginx.publish(struck[0], clips.unrelated))
        eventually(lambda: not first.running, what="the refusal")

        gate.freeze()
        second = publishers.enter_context(nginx.publish(struck[1], clips.unrelated))
        eventually(lambda: unread_at(gate.port), what="a hook that waits for its answer")
        gate.kill()
        eventually(lambda: struck[1] in on_the_air(nginx), what="that it is let in")
        assert "upstream" in (nginx.folder / "error.log").read_text()
        gate.book.add(a_strike(2, keys=(f"stream:live/{struck[2]}",)))

        gate.start()
        assert known(gate, count=3) == before | {f"stream:live/{struck[2]}"}
        assert (innocent.running, second.running) == (True, True), "the gate cuts nobody"
        second.stop()
        eventually(lambda: struck[1] not in on_the_air(nginx), what="its end")
        again = [publishers.enter_context(nginx.publish(name, clips.unrelated)) for name in struck]
        for publisher in again:
            eventually(lambda: not publisher.running, what="the refusal")  # noqa: B023 - asked at once
        assert on_the_air(nginx) == {"innocent"}
