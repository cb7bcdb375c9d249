"""How tests are dealt out to the processes of `pytest -n N` (pytest-xdist); a pytest plugin.

Each process gets whole files, so that what a module's tests share is made once. The end-to-end tests are one pile, and
the first: they run in real time and mostly wait, so they never run beside each other, but beside those that compute.
"""

import pytest

REAL_TIME = "tests/e2e/"


def pile(nodeid: str) -> str:
    """What is dealt out as one."""
    return REAL_TIME if nodeid.startswith(REAL_TIME) else nodeid.partition("::")[0]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The long pile first, so that nobody waits for it at the end."""
    items.sort(key=lambda item: pile(item.nodeid) != REAL_TIME)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    """Ours, unless another one is asked for by `--dist`."""
    from xdist.scheduler import LoadScopeScheduling  # noqa: PLC0415 - one process does without xdist

    if config.getvalue("dist") != "load":
        return None
    config.option.loadscopereorder = False  # it would deal out first what has most tests, and the long ones are few
    scheduler = LoadScopeScheduling(config, log)
    scheduler._split_scope = pile
    return scheduler
