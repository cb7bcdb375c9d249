"""streamguard.library.exchange.lists: rows of lists in the formats that others write."""

import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamguard.library.exchange import lists
from streamguard.library.exchange.hashes import UNKNOWN_QUALITY, BadRow, HashKind, ListedHash, Remarks
from streamguard.library.exchange.lists import ListFormat, bounded_lines, detected, rows
from tests.library.exchange.shared import hashes

PDQ = "f8f8f0cee0f4a84f06370a22038f63f0b36e2ed596621e1d33e6b39c4e9c9b22"
OTHER = "e64cc9d91c623882f8d1f1d9a398e78c9f199b3bd83924f2b7e11e0bf861b064"
MD5 = "cab08b36195edb1a1231d2d09fa450e0"
CODE = bytes.fromhex(PDQ)


def _read(text: str | bytes, form: ListFormat | None = None) -> list[ListedHash | BadRow]:
    data = text.encode() if isinstance(text, str) else text
    return list(rows(bounded_lines(io.BytesIO(data).readline), form or detected(data)))


def _pdq(quality: int = UNKNOWN_QUALITY) -> ListedHash:
    return ListedHash(HashKind.PDQ, CODE, quality)


@pytest.mark.parametrize(
    ("line", "quality"),
    [
        (PDQ, UNKNOWN_QUALITY),  # a bare list
        (PDQ.upper(), UNKNOWN_QUALITY),
        (f"{PDQ},100,bridge mods/aaa-orig.jpg", 100),  # pdq-photo-hasher
        (f"hash={PDQ},norm=128,delta=124,quality=87,filename=file2.jpg", 87),  # its --details
        (f"hash={PDQ},quality=100,orig={OTHER},rot90={OTHER},filename=a.jpg", 100),  # its --pdqdih --details
        (f"{PDQ},file1.jpg", UNKNOWN_QUALITY),  # what the tools' readers take for metadata
        (f"pdq {PDQ}", UNKNOWN_QUALITY),  # threatexchange hash
        (f"pdq {PDQ} 'Sample Data' POSITIVE_CLASS tag1,tag2", UNKNOWN_QUALITY),  # threatexchange dataset -P
        (f"    12.000  {PDQ}   87  clip.mp4", 87),  # streamguard hash
        (f"{PDQ}   87", 87),
    ],
)
def test_lines_of_the_tools_of_the_trade_are_read_as_they_are(line: str, quality: int) -> None:
    """Each format is found by itself, alone and as a line of many."""
    assert _read(f"{line}\n") == [_pdq(quality)]
    assert _read(f"# a comment\n\n{line}\r\n{line}") == [_pdq(quality)] * 2


def test_lists_of_files_are_read_as_the_sum_programs_write_them() -> None:
    """MD5 is known by its length; SHA-256 must be named."""
    md5 = ListedHash(HashKind.MD5, bytes.fromhex(MD5))
    assert _read(f"{MD5}\n{MD5}  film.mp4\n{MD5} *film.mp4\n") == [md5] * 3
    sha256 = ListedHash(HashKind.SHA256, CODE)
    assert _read(f"{PDQ}  film.mp4\n{PDQ}\n", ListFormat.SHA256) == [sha256] * 2


def test_csv_of_threatexchange_is_read_with_its_opinions_and_tags() -> None:
    """`threatexchange dataset -P --csv`, and a list that its PDQ tests have."""
    text = (
        "signal_type,signal_str,collab,category,tags\n"
        f"pdq,{PDQ},Sample Data,POSITIVE_CLASS,b a\n"
        f'video_md5,{MD5},"Sample, Data",NEGATIVE_CLASS,\n'
    )
    assert _read(text) == [
        ListedHash(HashKind.PDQ, CODE, remarks=Remarks(("a", "b"), agree=1)),
        ListedHash(HashKind.MD5, bytes.fromhex(MD5), remarks=Remarks(disagree=1)),
    ]
    assert _read(f'FilePath,Hash\n"../data/b,c.jpg",{PDQ}\n') == [_pdq()]


def test_json_is_read_whole_or_a_row_a_line() -> None:
    """Arrays, objects that hold one, rows a line; of `streamguard hash`, of Tech Against Terrorism, of StopNCII."""
    row = {"input": "a.mp4", "at_s": 1.0, "pdq": PDQ, "quality": 90}
    assert _read(json.dumps(row) + "\n" + json.dumps(row)) == [_pdq(90)] * 2
    assert _read(json.dumps([PDQ, {"hash": PDQ}], indent=1)) == [_pdq()] * 2
    entry = {"hash_digest": MD5, "algorithm": "MD5", "ideology": "far-right", "file_type": "mp4", "deleted": True}
    (of_tat,) = _read(json.dumps({"count": 1, "results": [entry]}))
    assert of_tat == ListedHash(HashKind.MD5, bytes.fromhex(MD5), remarks=Remarks(("far-right",)), deleted=True)
    (of_ncii,) = _read(json.dumps({"hashValue": PDQ, "signalType": "ImagePDQ", "hashStatus": "Withdrawn"}))
    assert of_ncii == ListedHash(HashKind.PDQ, CODE, deleted=True)


@pytest.mark.parametrize(
    ("form", "text", "line", "problem"),
    [
        (ListFormat.PDQ, f"{PDQ}\n{PDQ[:-1]}\n{PDQ}\n", 2, "no pdq hash (64 hexadecimal digits)"),
        (ListFormat.PDQ, f"{PDQ}\n<html>\n{PDQ}\n", 2, "'<html>'"),
        (ListFormat.PDQ, f"{PDQ}\nhash={PDQ},quality=101\n{PDQ}\n", 2, "no quality (0 to 100): '101'"),
        (ListFormat.PDQ, f"{PDQ}\nhash={PDQ},quality=01000000\n{PDQ}\n", 2, "no quality (0 to 100): '01000000'"),
        (ListFormat.PDQ, PDQ.encode() + b"\n\xff\xfe\n" + PDQ.encode(), 2, "it is not text"),
        (ListFormat.MD5, f"{MD5}\n{PDQ}\n{MD5}\n", 2, "no md5 hash (32 hexadecimal digits)"),
        (ListFormat.CSV, f"hash,quality\n{PDQ},1\n{PDQ},1,2\n{PDQ},\n", 3, "3 columns, where the header has 2"),
        (ListFormat.CSV, f"pdq,tags\n{PDQ},\n,a\n{PDQ},\n", 3, "no hash in it"),
        (ListFormat.CSV, f"type,hash\npdq,{PDQ}\nphotodna,{PDQ}\npdq,{PDQ}\n", 3, "a kind of hash that is not used"),
        (ListFormat.JSON, f'{{"pdq":"{PDQ}"}}\n{{"pdq":\n{{"pdq":"{PDQ}"}}\n', 2, "no JSON"),
        (ListFormat.JSON, f'["{PDQ}", 7, "{PDQ}"]', 2, "neither an object nor a hash"),
    ],
)
def test_a_malformed_row_is_told_with_its_line_and_costs_no_other(
    form: ListFormat, text: str | bytes, *, line: int, problem: str
) -> None:
    """What stands before and after it is read."""
    first, bad, last = _read(text, form)
    assert isinstance(first, ListedHash)
    assert isinstance(last, ListedHash)
    assert isinstance(bad, BadRow)
    assert bad.line == line
    assert problem in bad.problem


def test_a_quote_that_nobody_closes_costs_its_own_row() -> None:
    """Those behind it are read; a record that is meant to have several lines is one."""
    codes = [code.hex() for code in hashes(1, 30)]
    lines = ["hash,tags", *(f"{code},x" for code in codes)]
    lines[3] = f'{codes[2]},"x'
    lines[20] = f'{codes[19]},"x\ny"'
    found = _read("\n".join(lines), ListFormat.CSV)
    assert [one.code.hex() for one in found if isinstance(one, ListedHash)] == [*codes[:2], *codes[3:]]
    assert [one.line for one in found if isinstance(one, BadRow)] == [4]


def test_a_hostile_word_is_told_short_and_cannot_drive_the_terminal() -> None:
    """Whatever a list holds, a problem is a short line."""
    (bad,) = _read("\x1b]0;x\x07\u202e" + "A" * 10_000, ListFormat.PDQ)
    assert isinstance(bad, BadRow)
    assert "\x1b" not in bad.problem
    assert len(bad.problem) < 150


def test_a_line_without_an_end_is_not_kept_whole() -> None:
    """Of ten million bytes in one line a mebibyte is read, and what follows it is read as ever."""
    data = b"0" * 10_000_000 + b"\n" + PDQ.encode() + b"\n"
    lines = list(bounded_lines(io.BytesIO(data).readline))
    assert [len(line) for line in lines] == [1 << 20, 65]
    assert _read(data, ListFormat.PDQ)[1] == _pdq()


def test_json_of_nothing_but_parts_is_a_bad_row(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each takes twenty times as much memory as bytes: they are counted before they are read."""
    monkeypatch.setattr(lists, "MOST_JSON_PARTS", 100)
    codes = [PDQ] * 50
    assert len(_read(json.dumps(codes, indent=1), ListFormat.JSON)) == 50
    (bad,) = _read("[\n" + "{}," * 100 + "{}]", ListFormat.JSON)
    assert isinstance(bad, BadRow)
    assert "over 100 parts of JSON in one piece" in bad.problem


def test_json_nested_without_end_is_a_bad_row() -> None:
    """It neither crashes nor hangs."""
    for text in ("[" * 100_000, '{"a":' * 100_000):
        (bad,) = _read(text, ListFormat.JSON)
        assert isinstance(bad, BadRow)


@given(st.binary(max_size=300), st.sampled_from([form for form in ListFormat if form is not ListFormat.VPDQ]))
def test_whatever_bytes_come_each_row_is_a_hash_or_told(data: bytes, form: ListFormat) -> None:
    """Nothing else is raised, and nothing else comes."""
    detected(data)
    for row in _read(data, form):
        assert isinstance(row, ListedHash | BadRow)
        assert not isinstance(row, ListedHash) or len(row.code) == row.kind.bytes
