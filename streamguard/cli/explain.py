"""`streamguard explain`: why a stream was decided on, for people."""

import json
import re
from pathlib import Path

import click

from streamguard.cli.exits import EXIT_FOUND, EXIT_OK
from streamguard.cli.library_items import printable
from streamguard.cli.pictures import save
from streamguard.config import load_config
from streamguard.enforce.evidence.store import find_file
from streamguard.review.drawing import draw
from streamguard.review.explanation import in_words, load, summary, what_differs
from streamguard.worker.evidence import evidence_directory

_ID = re.compile(r"(sig|ev)_[0-9a-f]{32}")


@click.command()
@click.argument("which", metavar="ID|FILE")
@click.option(
    "--dir",
    "directory",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Where the worker keeps evidence. Default: what the config says, else streamguard-evidence beside the outbox.",
)
@click.option(
    "--config", "config_path", type=click.Path(path_type=Path), help="One TOML file; see config/streamguard.toml."
)
@click.option(
    "--out", metavar="PNG", type=click.Path(path_type=Path), help="The picture to write. Default: ID.png, here."
)
@click.option(
    "--replay", is_flag=True, help="Run the decision again, and say whether it is the same; draws only --out."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object; draws only --out.")
def explain(
    which: str, *, directory: Path | None, config_path: Path | None, out: Path | None, replay: bool, as_json: bool
) -> int:
    """Show what a decision rested on: a picture of the stream's frame beside the known footage, how the evidence
    added up, the rule and the library's version.

    ID is a kill-signal's `id`, or its `data.evidence_id`; FILE is an evidence file. With --replay the recorded rule
    decides again on the recorded evidence: exit status 1 where that is not what was decided then.

    \b
    Examples:
      streamguard explain sig_0123456789abcdef0123456789abcdef
      streamguard explain --replay --dir /var/lib/streamguard/evidence sig_0123456789abcdef0123456789abcdef
      streamguard explain --json --out why.png evidence/sig_0123456789abcdef0123456789abcdef.json | jq .keyframes
    """
    file = load(_file(which, directory=directory, config_path=config_path))
    differences = what_differs(file) if replay else ()
    told = summary(file) | ({"same": not differences, "differences": list(differences)} if replay else {})
    if out is None and not replay and not as_json:
        out = Path(f"{file.id}.png")
    if out is not None:
        save(out, draw(file), option="--out")
    if as_json:
        click.echo(json.dumps(told))
    else:
        click.echo(printable(in_words(file)))
        for line in differences:
            click.echo(f"  differs: {printable(line)}")
        if replay and not differences:
            click.echo("  replayed: the same decision")
        if out is not None:
            click.echo(f"  drawn: {printable(str(out))}")
    return EXIT_FOUND if differences else EXIT_OK


def _file(which: str, *, directory: Path | None, config_path: Path | None) -> Path:
    if not _ID.fullmatch(which):
        return Path(which)
    return find_file(directory or evidence_directory(load_config(config_path)), which)
