"""`streamguard library add`."""

import json
import math
import os
import re
import signal
import sys
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from functools import partial
from io import TextIOWrapper
from pathlib import Path
from types import FrameType
from typing import Protocol, TextIO

import click
from rich.console import Console
from rich.text import Text

from streamguard.cli.adding_bar import AddingBar
from streamguard.cli.exits import EXIT_ERROR, EXIT_OK
from streamguard.cli.library_history import origin_of, origin_options
from streamguard.cli.library_items import in_words, item_json, library_option, printable
from streamguard.cli.library_signing import sign_option
from streamguard.cli.next_steps import library_command, with_options
from streamguard.errors import LibraryError, LibraryMissing, UsageError, counted
from streamguard.library.catalogue import Catalogue, ItemRecord, ItemState
from streamguard.library.ed25519 import Signer
from streamguard.library.handed_on import why_kept_apart
from streamguard.library.library_to_be import LibraryToBe
from streamguard.library.live_check import check_live
from streamguard.library.poison import Reason
from streamguard.library.segments import ID_PATTERN, LABEL_PATTERN
from streamguard.regular_files import open_regular
from streamguard.types import AssetId
from streamguard.worker import indexing
from streamguard.worker.bulk import ray_cluster
from streamguard.worker.forkserver import start_forkserver
from streamguard.worker.outcomes import Added, Failed, Job, Known, Outcome, Read
from streamguard.worker.reference_child import Progress

DEFAULT_LABEL = "unlabelled"

_TOGETHER_S = 1.0


@click.command()
@library_option
@click.option("--id", "id_", metavar="ID", help="Of the one file; otherwise ids come from the names of the files.")
@click.option("--label", "asked_label", help=f"What kind of footage it is.  [default: {DEFAULT_LABEL}]")
@click.option("--jobs", metavar="N", type=click.IntRange(1, 256), help="Files at once.  [default: one a core]")
@click.option("--ray", "ray_address", metavar="ADDRESS", help="On a Ray cluster: `auto`, or HOST:PORT of its head.")
@origin_options
@click.option("--list", "list_file", metavar="FILE", help="A file of paths, one a line; - for stdin.")
@sign_option()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line for each file.")
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path), metavar="[PATH]...")
def add(
    *,
    path: Path,
    id_: str | None,
    asked_label: str | None,
    jobs: int | None,
    ray_address: str | None,
    by: str | None,
    reason: str,
    list_file: str | None,
    signer: Signer | None,
    as_json: bool,
    paths: tuple[Path, ...],
) -> int:
    """Add videos and images: files, or folders with all that is in them.

    Makes the library when there is none and something to put in. Each file is durable when its line is printed, which
    is a while after it was read: they are written in batches. It may be interrupted at any moment; run it again to go
    on: what is there already is recognised by its content. A file that fails does not keep the others out, and makes
    the exit status 2.

    With --ray every machine of the cluster takes part that this one belongs to. Each must have StreamGuard, and see the
    files under the same paths. Without a cluster, see `library shard`.

    \b
    Example:
      streamguard library add --library known --id attack-2019 attack.mp4
      streamguard library add --library known --label terror --jobs 4 footage/
      streamguard library add --library known --ray auto /archive
      find archive -name '*.mkv' | streamguard library add --library known --list -
    """
    wanted = [*paths, *listed(list_file)]
    if not wanted:
        raise UsageError("library add", "", "no files named", hint="see `streamguard library add --help`")
    if id_ is not None and (len(wanted) != 1 or wanted[0].is_dir()):
        raise UsageError("library add", "--id", "goes with one file only", hint="otherwise ids come from the names")
    if ray_address is not None and (id_ is not None or jobs is not None):
        option = "--jobs" if id_ is None else "--id"
        raise UsageError("library add", option, "does not go with --ray", hint="leave one of them out")
    label = DEFAULT_LABEL if asked_label is None else asked_label
    check_names(id_, label)
    origin = origin_of(by, reason)
    said = Said(path, as_json=as_json, asked_label=asked_label)
    if ray_address is not None:  # its workers have another working directory
        wanted = [one.absolute() for one in wanted]
    files = [
        Job(file, label, AssetId(id_) if id_ is not None else None) for one in wanted for file in files_in(one, said)
    ]
    if files:
        index = _here(jobs) if ray_address is None else _at_ray(ray_address)
        _index(partial(LibraryToBe, path, origin=origin, signer=signer), files, said, index=index)
        warn_if_damaged(path)
    elif not said.failed:
        said.error(str(wanted[0]), UsageError("library add", wanted[0], "no videos or images in it"))
    return EXIT_ERROR if said.failed else EXIT_OK


class _Index(Protocol):
    """`indexing.index`, or the same elsewhere."""

    def __call__(
        self, library: LibraryToBe, jobs: Sequence[Job], /, *, news: Callable[[Job, Progress | Read], None]
    ) -> Generator[Outcome, None, None]: ...


def _here(jobs: int | None) -> _Index:
    start_forkserver()
    return partial(indexing.index, limits=indexing.default_limits(jobs=jobs))


def _at_ray(address: str) -> _Index:
    ray_cluster.check_address(address)
    return partial(ray_cluster.index, address=address)


def _index(library: Callable[[], LibraryToBe], files: list[Job], said: "Said", *, index: _Index) -> None:
    """Add them, with one bar for all."""
    with (
        goes_on_from("what was added stays"),
        library() as opened,
        AddingBar([file.path for file in files]) as bar,
    ):
        tell_all(index(opened, files, news=bar.news), bar=bar, said=said)


class _Interrupt:
    """A handler of signals: those that come together are one. A terminal and whoever runs us both tell of a Ctrl-C, and
    the second would interrupt what the first has us bring to an end.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._heard_until_s = -math.inf

    def __call__(self, _number: int, _frame: FrameType | None) -> None:
        now_s = self._clock()
        if now_s >= self._heard_until_s:
            self._heard_until_s = now_s + _TOGETHER_S
            raise KeyboardInterrupt


@contextmanager
def goes_on_from(what: str, *, clock: Callable[[], float] = time.monotonic) -> Iterator[None]:
    """On Ctrl-C, and on SIGTERM in the same way, says how to go on: a pod that is evicted keeps what it has read."""
    interrupt = _Interrupt(clock)
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    # A shell has those ignore Ctrl-C that it runs in the background.
    heard = {number: handler for number, handler in before.items() if handler not in (signal.SIG_IGN, None)}
    for number in heard:
        signal.signal(number, interrupt)
    try:
        yield
    except KeyboardInterrupt:
        click.echo(f"{what}; run the same command again to go on from there", err=True)
        raise
    finally:
        for number, handler in heard.items():
            signal.signal(number, handler)


def tell_all(outcomes: Generator[Outcome, None, None], *, bar: AddingBar, said: "Said") -> None:
    """Each as it comes, above the bar."""
    said.above = bar.console
    try:
        # Closed at once when Ctrl-C comes while something is told: that adds what was read.
        with closing(outcomes):
            for outcome in outcomes:
                bar.done(outcome)
                said.outcome(outcome)
    finally:
        said.above = None


def warn_if_damaged(path: Path, *, since: frozenset[str] = frozenset()) -> None:
    """What was added is safe, but no worker takes it up while another part of the library is damaged. Of segments that
    were there, see `segments_there`, it is looked whether they still are: to read ten million looks takes seconds, and
    workers have them.
    """
    try:
        check_live(path, since=since)
    except LibraryMissing:  # nothing was added
        pass
    except LibraryError as error:
        what = f"{error.subject}: {error.problem}; what to do: {library_command(path, 'library verify')}"
        click.echo(
            printable(f"warning: the library does not load, no worker takes up what was added: {what}"), err=True
        )


def kept_apart_for(library: Path, item: ItemRecord) -> Reason:
    """Why it is in quarantine; NONE where it is not. Raises LibraryError."""
    with closing(Catalogue.open(library, create=False)) as catalogue:
        return why_kept_apart(catalogue.connection, item.number)


def check_names(id_: str | None, label: str) -> None:
    """What the library would refuse in the end, after hours of decoding maybe. Raises UsageError."""
    if id_ is not None and re.fullmatch(ID_PATTERN, id_) is None:
        hint = "letters, digits, dot, dash and underscore, at most 128, the first a letter or digit"
        raise UsageError("library add", f"--id {id_!r}", "not a possible id", hint=hint)
    if not label.strip():
        hint = f"leave it out, and it is called {DEFAULT_LABEL}"
        raise UsageError("library add", f"--label {label!r}", "an empty label says nothing", hint=hint)
    if re.fullmatch(LABEL_PATTERN, label) is None or re.search("[\ud800-\udfff]", label):
        hint = "at most 100 printable characters"
        raise UsageError("library add", f"--label {label!r}", "not a possible label", hint=hint)


def listed(list_file: str | None) -> Iterator[Path]:
    """The paths in a list. Raises UsageError."""
    if list_file is None:
        return
    try:
        with _opened(list_file) as lines:
            for line in lines:
                if name := line.rstrip("\r\n"):
                    yield Path(name)
    except UnicodeDecodeError as error:
        raise UsageError("read list", list_file, "it is not text", hint="one path a line") from error
    except OSError as error:
        problem = error.strerror or str(error)
        raise UsageError("read list", list_file, problem, hint="a file, or - for standard input") from error


def _opened(list_file: str) -> AbstractContextManager[TextIO]:
    if list_file == "-":
        return nullcontext(sys.stdin)
    return TextIOWrapper(open_regular(Path(list_file)), encoding="utf-8")


def files_in(path: Path, said: "Said", *, wanted: Callable[[Path], bool] = lambda _: True) -> tuple[Path, ...]:
    """What to add of one argument; what is passed over is named, unless it is not `wanted` at all.

    So is a film that is missing. What may be a folder, or a volume that is not mounted, is missed whoever wants it.
    """
    if not path.is_dir():
        if path.is_file():
            return (path,) if wanted(path) else ()
        if path.suffix.lower() in indexing.MEDIA_SUFFIXES and not wanted(path):
            return ()
        problem = "not a file or folder" if os.path.lexists(path) else "no such file or folder"
        said.error(str(path), UsageError("add", path, problem, hint="check the path"))
        return ()
    try:
        media, others = indexing.media_in(path)
    except UsageError as error:
        said.error(str(path), error)
        return ()
    for other in filter(wanted, others):
        said.skipped(other)
    return tuple(filter(wanted, media))


_MEANT = "the same command with --believe --reason TEXT"


class Said:
    """What was printed: results on standard output, errors on standard error as well when they are not JSON.

    `library` None: what was added is in shards. `decoded`: it was by this command, which knows what could not be, and
    not elsewhere, with a label of its own for each.
    """

    def __init__(
        self, library: Path | None, *, as_json: bool, asked_label: str | None = None, decoded: bool = True
    ) -> None:
        self.failed = False
        self.kept_apart = 0
        self._library = library
        self._decoded = decoded
        self._asked_label = asked_label
        self.above: Console | None = None
        self._as_json = as_json

    def outcome(self, outcome: Outcome) -> None:
        path = outcome.job.path
        match outcome:
            case Added(item=item, pictures_lost=lost):
                words = in_words(item)
                if lost:
                    words += f"; {counted(lost, 'picture')} could not be decoded"
                tree = item_json(item) | ({"pictures_lost": lost} if self._decoded else {})
                if item.state is ItemState.DISABLED:
                    self._kept_apart(path, item, words=words, tree=tree)
                else:
                    self._line(path, "added", words=words, tree=tree)
            case Known(item=item) if self._library is None:
                self._in_a_shard(outcome.job, item)
            case Known(item=item) if self._library is not None:
                self._known(outcome.job, item, library=self._library)
            case Failed(error=error):
                self.error(str(path), error)

    def _kept_apart(self, path: Path, item: ItemRecord, *, words: str, tree: dict[str, object]) -> None:
        """It is there, and not searched."""
        self.kept_apart += 1
        reason = Reason.NONE if self._library is None else kept_apart_for(self._library, item)
        words += f"; in quarantine, and not searched: {reason.words}; was it meant: {_MEANT}"
        self._line(path, "quarantined", words=words, tree=tree | {"reason": reason.name.lower()})

    def _in_a_shard(self, job: Job, item: ItemRecord) -> None:
        words = f"{job.path}: a shard has it already ({item.segment})"
        ignored = self._ignored(job, item)
        if ignored:
            again = "delete that shard, and run the parts that made it again"
            words += f", as {item.label}; --label was not applied: to change that, {again}"
        tree: dict[str, object] = {
            "label": item.label,
            "sha256": item.sha256,
            "segment": item.segment,
            "not_applied": ignored,
        }
        self._line(job.path, "duplicate", words=words, tree=tree)

    def _ignored(self, job: Job, item: ItemRecord) -> list[str]:
        """What was asked for, and is otherwise where the item is. Nobody asks for an id in a shard."""
        asked_label = self._asked_label if self._decoded else job.label
        ignored = ["id"] if job.id not in (None, item.id) else []
        return ignored + (["label"] if asked_label not in (None, item.label) else [])

    def _known(self, job: Job, item: ItemRecord, *, library: Path) -> None:
        """It stays as it is: what was asked for and is otherwise there must not pass for done."""
        words = f"{job.path}: the library has it already, as {item.id} ({item.label})"
        if item.state is ItemState.DISABLED:
            words += f", which is disabled; {self._how_to_enable(library, item)}"
        ignored = self._ignored(job, item)
        if ignored:
            words += f"; {self._otherwise(job, item, ignored, library=library)}"
        tree = item_json(item) | {"not_applied": ignored}
        self._line(job.path, "duplicate", words=words, tree=tree)

    def _otherwise(self, job: Job, item: ItemRecord, ignored: list[str], *, library: Path) -> str:
        """What was not done, and how to do it: another id takes an item that is added anew."""
        if ignored == ["label"]:
            of_whom = "the label" if self._decoded else "the shard's label"
            change = library_command(library, "library label", item.id, job.label)
            return f"{of_whom} {job.label} was not applied: to change that: {change}"
        what = " and ".join(f"--{option}" for option in ignored)
        verb = "was" if len(ignored) == 1 else "were"
        remove = library_command(library, "library remove", item.id)
        return f"{what} {verb} not applied: to change that, remove it and add it again: {remove}"

    def _how_to_enable(self, library: Path, item: ItemRecord) -> str:
        if reason := kept_apart_for(library, item):
            self.kept_apart += 1
            see = library_command(library, "library quarantine list")
            return f"it is in quarantine: {reason.words}; see {see}"
        return f"to have it searched again: {library_command(library, 'library enable', item.id)}"

    def skipped(self, path: Path) -> None:
        self._line(path, "skipped", words=f"{path}: neither a video nor an image, by its name", tree={})

    def error(self, path: str, error: Exception) -> None:
        self.failed = True
        told = with_options(str(error), {} if self._library is None else {"--library": str(self._library)})
        if self._as_json:
            self._echo(json.dumps({"input": path, "status": "error", "error": told}))
        self._echo(f"error: {printable(told)}", err=True)

    def _line(self, path: Path, status: str, *, words: str, tree: dict[str, object]) -> None:
        told = json.dumps({"input": str(path), "status": status, **tree})
        self._echo(told if self._as_json else f"{status} {printable(words)}")

    def _echo(self, text: str, *, err: bool = False) -> None:
        """Above the bar, when both are on the terminal."""
        if self.above is not None and (err or sys.stdout.isatty()):
            self.above.print(Text(text), soft_wrap=True)
        else:
            click.echo(text, err=err)
