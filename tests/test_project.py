"""The project as a whole: every command helps, the manuals name what there is, files stay short, locks are whole."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

import streamguard
from streamguard import errors
from streamguard.cli.main import cli

TOP = Path(__file__).parent.parent
MANUALS = (
    *("README.md", "CONTRIBUTING.md", "docs/operations.md", "docs/streams.md", "docs/deciding.md", "docs/library.md"),
    *("docs/signals.md", "docs/evidence.md", "docs/enforcement.md", "docs/media-servers.md", "docs/reliability.md"),
    *("docs/exchange.md", "docs/reloading.md", "docs/incident.md"),
)
LOCKS = ("runtime", "build", "dev", "bench", "ray", "exchange")
MOST_LINES = 450


def commands(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    if not isinstance(command, click.Group):
        yield path, command
        return
    context = click.Context(command)
    for name in command.list_commands(context):
        inner = command.get_command(context, name)
        assert inner is not None
        yield from commands(inner, (*path, name))


COMMANDS = dict(commands(cli))
GROUPS = sorted({path[:depth] for path in COMMANDS for depth in range(1, len(path))})


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_command_helps_with_an_example(path: tuple[str, ...]) -> None:
    """`--help` exits with 0 and shows a call of the command beside its usage line."""
    result = CliRunner().invoke(cli, [*path, "--help"], prog_name="streamguard")
    call = " ".join(["streamguard", *path])
    assert result.exit_code == 0
    assert result.output.count(call) > 1, f"no example of `{call}` in its help"
    assert "\\b" not in result.output, "its examples are run together: the docstring must not be a raw string"


@pytest.mark.parametrize("path", GROUPS, ids=" ".join)
def test_every_group_of_commands_helps_with_examples(path: tuple[str, ...]) -> None:
    """`--help` shows calls of its own commands, as they are written."""
    result = CliRunner().invoke(cli, [*path, "--help"], prog_name="streamguard")
    shown = re.findall(rf"(?m)^ *{' '.join(['streamguard', *path])} ([a-z-]+) .*--", result.output)
    assert {(*path, name) for name in shown} & COMMANDS.keys(), f"no example of {' '.join(path)} in its help"
    assert {(*path, name) for name in shown} <= {other[: len(path) + 1] for other in COMMANDS}
    assert "\\b" not in result.output


@pytest.mark.parametrize("manual", MANUALS)
def test_commands_in_the_manuals_exist(manual: str) -> None:
    """Each `streamguard ...` in the manuals is a command, with options that it has."""
    text = (TOP / manual).read_text().replace("\\|", "|").replace("\\\n", " ")
    calls = re.findall(r"(?m)(?:^\s*|[`$]\s*)streamguard +([a-z][^`\n]*)", text)
    for call in calls:
        words = call.split()
        # "library add|list|..." stands for several; what comes before it is common to all.
        at = next((n for n, word in enumerate(call.split(" --")[0].split()[:3]) if "|" in word), 0)
        variants = [[*words[:at], word, *words[at + 1 :]] for word in words[at].split("|")]
        for variant in variants:
            assert_is_a_command(variant, manual)


def assert_is_a_command(words: list[str], manual: str) -> None:
    path = next((tuple(words[:n]) for n in (3, 2) if tuple(words[:n]) in COMMANDS), tuple(words[:1]))
    assert path in COMMANDS, f"{manual}: no command `streamguard {' '.join(words)}`"
    known = {option for parameter in COMMANDS[path].params for option in parameter.opts}
    named = set(re.findall(r"(?<!\S)\[?(--[a-z-]+)", " ".join(words)))
    assert named <= known | {"--help"}, f"{manual}: `streamguard {' '.join(path)}` has no {named - known}"


def test_the_walk_through_an_incident_opens_none_that_is_open() -> None:
    """Whoever types the commands of docs/incident.md one after another is refused by none of its `incident open`."""
    text = (TOP / "docs" / "incident.md").read_text()
    is_open: set[str] = set()
    for what, name in re.findall(r"streamguard incident (open|close) ([a-z-]+) --library known", text):
        assert what == "close" or name not in is_open, name
        (is_open.add if what == "open" else is_open.discard)(name)


@pytest.mark.parametrize("manual", [*MANUALS, "CHANGELOG.md"])
def test_links_in_the_manuals_lead_somewhere(manual: str) -> None:
    """A relative link names a file of the project."""
    path = TOP / manual
    for link in re.findall(r"\]\((?!https?:)([^)#]+)", path.read_text()):
        assert (path.parent / link).exists(), link


def test_make_targets_in_the_manuals_exist() -> None:
    """`make x` in README and CONTRIBUTING is a target of the Makefile."""
    targets = set(re.findall(r"^([a-z]+):", (TOP / "Makefile").read_text(), re.MULTILINE))
    for manual in ("README.md", "CONTRIBUTING.md"):
        named = re.findall(r"(?:^ +|`)make ([a-z]+)", (TOP / manual).read_text(), re.MULTILINE)
        assert named
        assert set(named) <= targets


def test_every_module_has_its_place_in_the_table_of_rooms() -> None:
    """Under "Where would a new X go?" it is named, or its folder is; and all that is named there is there."""
    rows = re.findall(r"^\| .* \| (.*) \|$", (TOP / "CONTRIBUTING.md").read_text(), re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"`((?:[\w*-]+/)+(?:[\w*-]+\.\w+)?|\w+\.py)`", row)}
    folder = TOP / "streamguard"
    assert [name for name in named if not any([*folder.glob(name), *TOP.glob(name)])] == []
    for module in folder.rglob("*.py"):
        place = module.relative_to(folder)
        names = {place.as_posix(), *(f"{above.as_posix()}/" for above in place.parents[:-1])}
        names |= {f"streamguard/{name}" for name in names}
        assert names & named or module.name in {"__init__.py", "__main__.py"}, place


def test_operators_find_every_error_in_the_manual() -> None:
    """docs/operations.md says the next step for each error that can reach an operator."""
    text = (TOP / "docs" / "operations.md").read_text()
    groups = {errors.StreamGuardError, errors.LibraryError, errors.SourceError, errors.ServerError, errors.SignalsError}
    groups.add(errors.ExchangeError)
    for error in vars(errors).values():
        if isinstance(error, type) and issubclass(error, errors.StreamGuardError) and error not in groups:
            assert f"`{error.__name__}`" in text


def test_one_way_to_end() -> None:
    """A command returns its exit status; only main() exits."""
    exits = re.compile(r"\b_?exit\(|raise SystemExit")
    found = {path.name for path in (TOP / "streamguard" / "cli").glob("*.py") if exits.search(path.read_text())}
    assert found == {"main.py"}


def test_the_tree_of_errors_is_drawn_as_it_is() -> None:
    """The docstring of errors.py shows every class, each under its parent, in the order of the file."""
    drawn: list[tuple[str, str]] = []
    parents: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        match = re.fullmatch(r"((?:[|`]-- |[|] {3}| {4})*)([A-Z]\w+) {2,}\S.*", line)
        if match:
            depth = len(match[1]) // 4
            parents[depth:] = [match[2]]
            drawn.append((match[2], parents[depth - 1] if depth else "Exception"))
    classes = [error for error in vars(errors).values() if isinstance(error, type) and issubclass(error, Exception)]
    assert drawn == [(error.__name__, error.__bases__[0].__name__) for error in classes]


def test_files_stay_short() -> None:
    """A file of more than 450 lines is split first, by what its parts do."""
    folders = ("streamguard", "tests", "benchmarks")
    lengths = {path: len(path.read_text().splitlines()) for name in folders for path in (TOP / name).rglob("*.py")}
    assert {path: lines for path, lines in lengths.items() if lines > MOST_LINES} == {}


def test_the_version_is_said_once() -> None:
    """What `--version` prints is what pyproject.toml says."""
    project = tomllib.loads((TOP / "pyproject.toml").read_text())["project"]
    assert project["version"] == streamguard.__version__


def pins(lock: str) -> dict[str, str]:
    text = (TOP / "requirements" / f"{lock}.lock").read_text()
    return dict(re.findall(r"^([a-z0-9._-]+)==([^\s;]+)", text, re.MULTILINE))


def test_every_dependency_is_locked() -> None:
    """Whoever adds one to pyproject.toml runs `make lock`."""
    tree = tomllib.loads((TOP / "pyproject.toml").read_text())
    wanted = {
        "runtime": tree["project"]["dependencies"],
        "build": tree["build-system"]["requires"],
        "dev": tree["dependency-groups"]["dev"],
        "bench": tree["dependency-groups"]["bench"],
        "peers": tree["dependency-groups"]["peers"],
        "ray": [*tree["project"]["dependencies"], *tree["project"]["optional-dependencies"]["ray"]],
    }
    for lock, requirements in wanted.items():
        names = {re.split(r"[^a-z0-9-]", requirement, maxsplit=1)[0] for requirement in requirements}
        assert names <= set(pins(lock)), f"requirements/{lock}.lock: run `make lock`"


def test_the_locks_agree_and_name_no_registry() -> None:
    """One version of a package in all locks, each pinned by hashes, wherever it is fetched from."""
    merged: dict[str, str] = {}
    for lock in LOCKS:
        text = (TOP / "requirements" / f"{lock}.lock").read_text()
        assert "://" not in text
        assert text.count("==") <= text.count("--hash=sha256:")
        for name, version in pins(lock).items():
            assert merged.setdefault(name, version) == version, name
