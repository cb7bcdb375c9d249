"""streamguard.config.changes: what differs between two configurations, and what of it counts at once."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from streamguard.config import Config
from streamguard.config.changes import Change, changes, in_force, options_of
from streamguard.config.effects import Effect, Process, effect_of
from tests.config.configs import CONFIGS

PROCESSES = st.sampled_from(list(Process))


def config(**sections: object) -> Config:
    return Config.model_validate(sections)


@settings(max_examples=60)
@given(running=CONFIGS, new=CONFIGS, process=PROCESSES)
def test_what_is_live_is_as_in_the_new_file_and_the_rest_as_it_runs(
    running: Config, new: Config, process: Process
) -> None:
    """Of any two valid configurations."""
    runs, before, after = (options_of(one) for one in (in_force(running, new, process), running, new))
    for option in {*before, *after}:
        stays = effect_of(option, process) is Effect.RESTART
        assert runs.get(option) == (before if stays else after).get(option), option


@settings(max_examples=60)
@given(running=CONFIGS, new=CONFIGS, process=PROCESSES)
def test_what_is_in_force_is_valid_and_reading_it_again_changes_nothing(
    running: Config, new: Config, process: Process
) -> None:
    """What still differs from the file takes a restart, and no more; after the way back nothing differs at all."""
    runs = in_force(running, new, process)
    assert Config.model_validate(runs.model_dump()) == runs
    assert in_force(runs, new, process) == runs
    assert {change.effect for change in changes(runs, new, process)} <= {Effect.RESTART}
    assert changes(in_force(runs, running, process), running, process) == ()


@settings(max_examples=60)
@given(running=CONFIGS, new=CONFIGS, process=PROCESSES)
def test_no_difference_is_missed(running: Config, new: Config, process: Process) -> None:
    """A change for each option that differs and that the process reads, and for no other."""
    before, after = options_of(running), options_of(new)
    found = changes(running, new, process)
    differ = {option for option in {*before, *after} if before.get(option) != after.get(option)}
    assert {change.option for change in found} == {
        option for option in differ if effect_of(option, process) is not Effect.NONE
    }
    assert len(found) == len({change.option for change in found})


def test_a_change_has_both_values_and_its_effect() -> None:
    """An option by its path, that of a label by the label's name; what is not set is None."""
    old = config(policy={"labels": {"a": {"verdict": "limit"}}}, redis={"url": "redis://h"})
    new = config(policy={"verdict": "review"})
    assert changes(old, new, Process.WATCH) == (
        Change("redis.url", SecretStr("redis://h"), None, Effect.RESTART),
        Change("policy.verdict", "kill", "review", Effect.AT_ONCE),
        Change("policy.labels.a.verdict", "limit", None, Effect.AT_ONCE),
    )


@pytest.mark.parametrize("process", Process)
def test_the_same_again_is_no_change(process: Process) -> None:
    """Also of lists and secrets, which are made anew."""
    sections = {
        "streams": [{"url": "rtmp://u:p@h/x"}], "redis": {"url": "redis://u:p@h"},
        "policy": {"labels": {"a": {"kill_nats": 20.0}}},
    }  # fmt: skip
    assert changes(config(**sections), config(**sections), process) == ()
