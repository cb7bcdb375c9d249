"""`streamguard library shard` and `merge`: fingerprinting in parts, on machines that know nothing of each other."""

import time
from collections.abc import Generator, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path

import click

from streamguard.cli.adding_bar import AddingBar
from streamguard.cli.exits import EXIT_ERROR, EXIT_FOUND, EXIT_OK
from streamguard.cli.library_add import (
    DEFAULT_LABEL,
    Said,
    check_names,
    files_in,
    goes_on_from,
    listed,
    tell_all,
    warn_if_damaged,
)
from streamguard.cli.library_history import origin_of, origin_options
from streamguard.cli.library_items import library_option
from streamguard.cli.library_signing import sign_option
from streamguard.errors import LibraryError, UsageError
from streamguard.library.catalogue import ItemState
from streamguard.library.changes import Origin
from streamguard.library.ed25519 import Signer
from streamguard.library.exchange.senders import SHARDS, guard_of_shards
from streamguard.library.library_to_be import LibraryToBe
from streamguard.library.store import Library
from streamguard.worker import indexing
from streamguard.worker.bulk import merging
from streamguard.worker.bulk.merging import BadShard
from streamguard.worker.bulk.shard_shelf import is_in_part, open_folder, shards_in
from streamguard.worker.bundle_taking import TriedShelf, believe_known
from streamguard.worker.forkserver import start_forkserver
from streamguard.worker.indexing import Limits
from streamguard.worker.outcomes import Failed, Job, Known, Outcome

_COMPLETION_INDEX = "JOB_COMPLETION_INDEX"


@click.command()
@click.option("--out", "folder", required=True, metavar="DIR", type=click.Path(path_type=Path), help="Shards go here.")
@click.option("--of", metavar="N", type=click.IntRange(1, 1_000_000), default=1, help="Parts in all.  [default: 1]")
@click.option(
    "--index",
    metavar="I",
    type=click.IntRange(min=0),
    envvar=_COMPLETION_INDEX,
    show_envvar=True,
    help="Which part this is, from 0.",
)
@click.option("--label", "asked_label", help=f"What kind of footage it is.  [default: {DEFAULT_LABEL}]")
@click.option("--jobs", metavar="N", type=click.IntRange(1, 256), help="Files at once.  [default: one a core]")
@click.option("--list", "list_file", metavar="FILE", help="A file of paths, one a line; - for stdin.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line for each file.")
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path), metavar="[PATH]...")
def shard(
    *,
    folder: Path,
    of: int,
    index: int | None,
    asked_label: str | None,
    jobs: int | None,
    list_file: str | None,
    as_json: bool,
    paths: tuple[Path, ...],
) -> int:
    """Fingerprint one part of much footage, for `library merge` to add to a library.

    Each part is told the same files and folders, and takes those that are its own: which, their paths decide. Shards
    are files of DIR, named by their content; parts may share it. What is in a shard of DIR already is not done again,
    so that after an interruption the same command does what is missing. In a Kubernetes Indexed Job the index need not
    be given: config/kubernetes-job.yaml is an example.

    \b
    Example:
      streamguard library shard --out shards --index 3 --of 10 /archive
      streamguard library merge --library known shards
    """
    wanted = [*paths, *listed(list_file)]
    if not wanted:
        raise UsageError("library shard", "", "no files named", hint="see `streamguard library shard --help`")
    if index is None and of > 1:
        raise UsageError("library shard", "--index", "not given", hint=f"which of the {of} parts is this? From 0")
    part = index or 0
    if part >= of:
        raise UsageError("library shard", f"--index {part}", f"there is no such part of {of}", hint="they count from 0")
    label = DEFAULT_LABEL if asked_label is None else asked_label
    check_names(None, label)
    said = Said(None, as_json=as_json, asked_label=asked_label)
    is_ours = partial(is_in_part, index=part, of=of)
    files = [Job(file, label) for one in wanted for file in files_in(one, said, wanted=is_ours)]
    _fingerprint(folder, files, said, limits=indexing.default_limits(jobs=jobs))
    return EXIT_ERROR if said.failed else EXIT_OK


def _fingerprint(folder: Path, files: list[Job], said: Said, *, limits: Limits) -> None:
    shelf, damaged = open_folder(folder)
    for error in damaged:
        click.echo(f"warning: {error}", err=True)
    start_forkserver()
    with goes_on_from("the shards stay"), AddingBar([file.path for file in files]) as bar:
        tell_all(indexing.index(shelf, files, limits=limits, news=bar.news), bar=bar, said=said)


@click.command()
@library_option
@sign_option()
@click.option("--believe", is_flag=True, help="You have looked: it counts, whatever it looks like. Takes --reason.")
@origin_options
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line for each item.")
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="SHARD...")
def merge(
    *,
    path: Path,
    signer: Signer | None,
    believe: bool,
    by: str | None,
    reason: str,
    as_json: bool,
    paths: tuple[Path, ...],
) -> int:
    """Add shards, or folders of them, to a library.

    Makes the library when there is none. Every byte of a shard is checked first; one that is damaged, cut short or of
    another format is named, and the others go in. Moments that look like harmless pictures of yours (`library import
    --benign`), or like what was dropped from quarantine, do not count; footage that is mostly so goes into quarantine,
    and the exit status is 1: see `library quarantine list --source shards`, or say --believe --reason TEXT. None of
    that finds every lie: take shards only from those whom you trust with the library. What the library has already is
    not added again: merging twice does no harm, and an interrupted merge goes on where it was. Ids come from the names
    of the files. `library history` has it as "add shards".

    \b
    Example:
      streamguard library merge --library known shards
      streamguard library merge --library known part-0/*.shard part-1/*.shard
    """
    if believe and not reason.strip():
        raise UsageError("library merge", "--believe", "needs a reason", hint="--reason TEXT")
    said = Said(path, as_json=as_json, decoded=False)
    shards, bad = merging.listed(_shards(paths, said))
    for one in bad:
        said.error(str(one.path), one.error)
    items = [item for listed_ in shards for item in listed_.head.items]
    sizes_bytes = {merging.job_of(item).path: item.reference_bytes for item in items}
    if not items:
        return EXIT_ERROR
    origin = origin_of(by, reason)
    with (
        goes_on_from("what was added stays"),
        LibraryToBe(path, action="add shards", origin=origin, signer=signer) as opened,
        AddingBar([merging.job_of(item).path for item in items], sizes_bytes=sizes_bytes) as bar,
    ):
        bar.bad_shards = len(bad)
        shelf = TriedShelf(opened, guard_of_shards(path, believe=believe))
        outcomes = merging.merge(shelf, shards, news=bar.news, bad=partial(_tell, said, bar))
        if believe:
            outcomes = _believed(outcomes, path, origin=origin, signer=signer)
        tell_all(outcomes, bar=bar, said=said)
    warn_if_damaged(path)
    return EXIT_ERROR if said.failed else EXIT_FOUND if said.kept_apart else EXIT_OK


def _believed(
    outcomes: Generator[Outcome, None, None], path: Path, *, origin: Origin, signer: Signer | None
) -> Generator[Outcome, None, None]:
    """What an earlier merge kept apart is searched from now on."""
    with closing(outcomes):
        for outcome in outcomes:
            match outcome:
                case Known(job=job, item=item) if item.state is ItemState.DISABLED:
                    with Library.open(path, origin=origin, signer=signer) as library:
                        believe_known(library, SHARDS, {item.number}, origin=origin, now_unix_s=time.time())
                        yield Known(job, library.item(item.id))
                case _:
                    yield outcome


def _tell(said: Said, bar: AddingBar, bad: BadShard) -> None:
    said.error(str(bad.path), bad.error)
    bar.bad_shards += 1
    for item in bad.missed:
        bar.done(Failed(merging.job_of(item), bad.error))


def _shards(paths: Sequence[Path], said: Said) -> list[Path]:
    """Those named, and those in folders that are named; a folder without any is an error."""
    found: list[Path] = []
    for path in paths:
        if not path.is_dir():
            found.append(path)
            continue
        try:
            inside = shards_in(path)
        except LibraryError as error:
            said.error(str(path), error)
            continue
        if not inside:
            said.error(str(path), UsageError("merge", path, "no shards in it", hint="is it the --out of the parts?"))
        found += inside
    return found
