"""streamguard.worker.reconfiguring: a worker's parts are as the new configuration says, all of them or none."""

import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, given, settings
from prometheus_client import CollectorRegistry

from streamguard.cli.targets import stream_specs
from streamguard.config import Config
from streamguard.config.changes import in_force
from streamguard.config.effects import Process
from streamguard.core.decision_rule import BUILT_IN_RULE
from streamguard.enforce.cutting.local_enforcer import LocalEnforcer
from streamguard.enforce.outbox.delivery import Transport
from streamguard.enforce.outbox.outbox import Outbox
from streamguard.enforce.signals.stdout_lines import StdoutLines
from streamguard.errors import UsageError
from streamguard.worker.ack_metrics import AckMetrics
from streamguard.worker.answers import Answers, local_enforcer
from streamguard.worker.attention import AttentionKeeper
from streamguard.worker.canary import Canary, CanaryWay
from streamguard.worker.canary_metrics import CanaryMetrics
from streamguard.worker.decoder import DecoderJob
from streamguard.worker.discovering import Discoveries, plans_of
from streamguard.worker.kill_terms import KillTerms
from streamguard.worker.lease_metrics import LeaseMetrics
from streamguard.worker.matcher import Matcher
from streamguard.worker.metrics import Metrics
from streamguard.worker.parts import attention_rule, supervisor_options
from streamguard.worker.policies import policy_of
from streamguard.worker.reconfiguring import Following, LiveParts, change
from streamguard.worker.sharing import Share
from streamguard.worker.streams import RunningDecoder
from streamguard.worker.supervisor import Supervisor
from tests.config.configs import CONFIGS
from tests.worker.fake_decoders import FakeLibrary
from tests.worker.test_canary import FakeDelivery
from tests.worker.test_discovering import NoCounts

IN_WATCH = {"in_watch": True, "servers": ["nginx-rtmp=http://127.0.0.1:9"]}


def _no_decoder(_job: DecoderJob) -> RunningDecoder:
    raise OSError("no decoder in this test")


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    with Outbox.open(tmp_path / "outbox.sqlite") as opened:
        yield opened


def parts_of(config: Config, outbox: Outbox) -> LiveParts:
    """A worker's, none of which runs."""
    registry = CollectorRegistry()
    kill_terms = KillTerms()
    in_watch = config.enforce.in_watch
    transport: Transport = (
        local_enforcer(config, io.StringIO(), metrics=Metrics(), kill_terms=kill_terms)
        if in_watch
        else StdoutLines(io.StringIO())
    )
    discoveries = Discoveries(plans_of(config), counts=NoCounts())
    share = Share(config, stream_specs((), config), discoveries=discoveries, metrics=LeaseMetrics(registry))
    matcher = Matcher(FakeLibrary, rule=BUILT_IN_RULE, policy=policy_of(config.policy))
    options = supervisor_options(config)
    return LiveParts(
        supervisor=Supervisor(share.roster(), matcher=matcher, watchers=(), options=options, start=_no_decoder),
        matcher=matcher,
        attention=AttentionKeeper(
            attention_rule(config), always=config.attention.always, kill=lambda: BUILT_IN_RULE, busy_share=lambda: 0.0
        ),
        canary=Canary(
            config, CanaryWay(outbox, FakeDelivery(), live=FakeLibrary), make=None, options=options,
            metrics=CanaryMetrics(registry),
        ),
        discoveries=discoveries,
        share=share,
        answers=Answers(config, outbox, transport, metrics=AckMetrics(registry)),
        transport=transport,
        kill_terms=kill_terms,
    )  # fmt: skip


def turn(parts: LiveParts) -> None:
    """What the supervisor's loop does before its next turn, and first in it."""
    while parts.supervisor._between_turns:
        parts.supervisor._between_turns.popleft()()
    parts.supervisor._roster.changes()


def state(parts: LiveParts) -> list[object]:
    """All that the configuration has a say in."""
    return [
        parts.matcher.policy, parts.supervisor._options, parts.canary._options, parts.attention._rule,
        parts.attention._always, parts.answers._unanswered.held,
        {stream.spec for stream in parts.supervisor._roster.streams},
        {name: (plan.spec, plan.options) for name, plan in parts.discoveries._plans.items()},
    ]  # fmt: skip


def _is_right(config: Config) -> bool:
    try:
        stream_specs((), config)
    except UsageError:  # two streams of one URL
        return False
    return True


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(running=CONFIGS, new=CONFIGS)
def test_after_a_change_all_parts_are_as_if_started_by_the_new_file(
    outbox: Outbox, running: Config, new: Config
) -> None:
    """Any two configurations: whatever counts at once is as in a worker that was started by it."""
    running, new = (one.model_copy(update={"leases": Config().leases}) for one in (running, new))
    assume(_is_right(running) and _is_right(new))
    runs = in_force(running, new, Process.WATCH)
    parts = parts_of(running, outbox)
    change(parts, runs, specs=stream_specs((), runs))
    turn(parts)
    assert state(parts) == state(parts_of(runs, outbox))


def test_nothing_has_changed_where_something_is_wrong(outbox: Outbox) -> None:
    """Though the rest of it is right."""
    parts = parts_of(Config(), outbox)
    before = state(parts)
    block = {"kind": "no-such-kind", "api": "http://h", "pull": "rtmp://h"}
    wrong = {"policy": {"verdict": "review"}, "discover": [block]}
    with pytest.raises(UsageError, match="no such kind"):
        change(parts, Config.model_validate(wrong), specs=())
    turn(parts)
    assert state(parts) == before


def test_what_the_loop_uses_is_exchanged_in_the_loop(outbox: Outbox) -> None:
    """All of it together: a keyframe is decided by the old configuration or by the new one."""
    parts = parts_of(Config(), outbox)
    before = state(parts)
    new = Config.model_validate({"policy": {"verdict": "review"}, "attention": {"young_s": 5.0}})
    change(parts, new, specs=())
    assert state(parts) == before
    turn(parts)
    assert state(parts) != before


def test_a_worker_that_cuts_by_itself_does_so_by_what_is_said_now(outbox: Outbox) -> None:
    """Its breaker, its strikes; its media servers are those of the start."""
    parts = parts_of(Config.model_validate({"enforce": IN_WATCH}), outbox)
    block = {"kind": "nginx-rtmp", "api": "http://h/stat", "pull": "rtmp://h"}
    new = {"enforce": {**IN_WATCH, "breaker": {"kills": 3}}, "gate": {"by_address": True}, "discover": [block]}
    change(parts, Config.model_validate(new), specs=())
    assert [breaker.limits.kills for breaker in parts.kill_terms._breakers] == [3]
    assert isinstance(parts.transport, LocalEnforcer)
    assert [desk.strike_addresses for desk in parts.transport.desks.values()] == [True]
    assert len(parts.discoveries) == 0


def test_a_worker_without_a_file_follows_none() -> None:
    """And tells nothing of it."""
    following = Following()
    assert (following.detail(), following.worth_a_look(), following.name_streams(Config())) == ({}, [], ())
    assert following.threads == ()
