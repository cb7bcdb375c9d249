"""A worker's parts by a configuration that was read anew, while they run.

What can be wrong is made first, and only then anything is changed. What the supervisor's loop uses is exchanged there,
between two of its turns: no keyframe is decided by half of it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from streamguard.config import Config
from streamguard.enforce.cutting.local_enforcer import LocalEnforcer
from streamguard.enforce.outbox.delivery import Transport
from streamguard.worker.answers import Answers
from streamguard.worker.attention import AttentionKeeper
from streamguard.worker.canary import Canary
from streamguard.worker.discovering import Discoveries, plans_of
from streamguard.worker.kill_terms import KillTerms
from streamguard.worker.matcher import Matcher
from streamguard.worker.own_thread import OwnThread
from streamguard.worker.parts import attention_rule, supervisor_options
from streamguard.worker.policies import policy_of
from streamguard.worker.reloading import Reloading
from streamguard.worker.sharing import Share
from streamguard.worker.streams import StreamSpec
from streamguard.worker.supervisor import Supervisor

NameStreams = Callable[[Config], Sequence[StreamSpec]]
"""All streams that a configuration and the command line name. Raises UsageError."""


@dataclass(frozen=True, slots=True)
class Following:
    """The configuration's file as a worker follows it; without `reloading` it does not."""

    reloading: Reloading | None = None
    name_streams: NameStreams = lambda _config: ()

    @property
    def threads(self) -> tuple[OwnThread, ...]:
        return () if self.reloading is None else (self.reloading.thread,)

    def detail(self) -> dict[str, object]:
        """As `/readyz` shows it; empty where there is no file."""
        return {} if self.reloading is None else self.reloading.detail()

    def worth_a_look(self) -> list[str]:
        return [] if self.reloading is None else self.reloading.worth_a_look()


@dataclass(frozen=True, slots=True)
class LiveParts:
    """What can be changed of a worker while it runs."""

    supervisor: Supervisor
    matcher: Matcher
    attention: AttentionKeeper
    canary: Canary
    discoveries: Discoveries
    share: Share
    answers: Answers
    transport: Transport
    kill_terms: KillTerms


def change(parts: LiveParts, config: Config, *, specs: Sequence[StreamSpec]) -> None:
    """All of them by this configuration. From one thread at a time. Raises UsageError: then nothing has changed."""
    plans = plans_of(config)
    policy, rule, options = policy_of(config.policy), attention_rule(config), supervisor_options(config)

    def in_the_loop() -> None:
        parts.supervisor.change(options)
        parts.canary.change(options)
        parts.attention.change(rule, always=config.attention.always)
        parts.matcher.policy = policy
        parts.share.change(specs, most_streams=config.worker.most_streams)

    if not config.enforce.in_watch:  # its desks are those of the start, one for each media server
        parts.discoveries.replace(plans)
    parts.answers.change(config)
    if isinstance(parts.transport, LocalEnforcer):
        parts.kill_terms.change(config, desks=parts.transport.desks.values())
    parts.supervisor.between_turns(in_the_loop)
