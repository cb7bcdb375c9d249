"""streamguard.worker.supervisor while what it runs by is changed, with decoders that play scripts."""

from dataclasses import replace

from streamguard.worker.matcher import Matched
from streamguard.worker.messages import Ended
from streamguard.worker.streams import Restart, Stream
from streamguard.worker.supervisor import Supervisor
from streamguard.worker.watcher import Watcher
from tests.worker.fake_decoders import OPTIONS, UNKNOWN, Line, Stage, keyframe


def test_other_options_count_for_new_connections() -> None:
    """A decoder that runs keeps the bounds that it was started with, and is not taken for one that hangs by others."""
    first: list[Line] = [(0.0, keyframe(0.0)), (5.0, Ended())]
    stage = Stage({"cam": [first, [(0.0, keyframe(0.0))]]})
    others = replace(OPTIONS, source=replace(OPTIONS.source, allow_hosts=("cdn",)), hang_timeout_s=1.0)
    supervisors: list[Supervisor] = []

    def change(stream: Stream, _matched: Matched) -> None:
        if stream.spec.stream == "cam" and stream.sessions == 1:
            supervisors[0].between_turns(lambda: supervisors[0].change(others))

    stage.watchers = (Watcher(keyframe=change),)
    supervisors.append(stage.supervisor())
    supervisors[0].run(stop_after_s=10.0)
    one, other, *_ = stage.decoders["cam"]
    assert (one.job.options.allow_hosts, other.job.options.allow_hosts) == ((), ("cdn",))
    assert set(stage.restarted) == {Restart.HANG}
    assert stage.start_times("cam")[1] > 5.0


def test_what_is_to_be_changed_is_changed_between_two_turns() -> None:
    """In the order in which it came, in the loop's own thread, and once."""
    stage = Stage({"cam": [UNKNOWN]})
    supervisor = stage.supervisor()
    done: list[int] = []
    for number in range(3):
        supervisor.between_turns(lambda number=number: done.append(number))  # type: ignore[misc]  # bound now
    assert done == []
    supervisor.run(stop_after_s=1.0)
    assert done == [0, 1, 2]
