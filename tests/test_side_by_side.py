"""tests/side_by_side.py: which tests run beside which."""

import re
import subprocess
import sys
from pathlib import Path

from tests.side_by_side import REAL_TIME, pile

TOP = Path(__file__).parent.parent


def test_what_runs_in_real_time_is_one_pile() -> None:
    """The end-to-end tests, and of all others each file."""
    files = [path.relative_to(TOP) for path in sorted((TOP / "tests").rglob("test_*.py"))]
    piles = {str(path): pile(f"{path}::TestSome::test_this[tests/e2e/::that]") for path in files}
    in_real_time = {name for name, found in piles.items() if found == REAL_TIME}
    assert in_real_time == {str(path) for path in files if path.parts[1] == "e2e"}
    assert len(in_real_time) > 10
    assert all(found == name for name, found in piles.items() if name not in in_real_time)


def test_two_processes_share_the_tests_so(tmp_path: Path) -> None:
    """One has the pile, first of all; the other one has other files meanwhile, each of them whole."""
    (tmp_path / "tests" / "e2e").mkdir(parents=True)
    two = "def test_one(): pass\ndef test_two(): pass\n"
    for name in ("tests/test_a.py", "tests/test_b.py", "tests/e2e/test_c.py", "tests/e2e/test_d.py"):
        (tmp_path / name).write_text(two)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    options = ("-n", "2", "-v", "-p", "tests.side_by_side", "-p", "no:cacheprovider", "--import-mode=importlib")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, "--rootdir", tmp_path, "-c", tmp_path / "pytest.ini", tmp_path],
        cwd=TOP, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    ran = re.findall(r"\[(gw\d)\].* PASSED \S*(tests/(?:e2e/)?test_[a-d])\.py::", done.stdout)
    assert len(ran) == 8
    processes: dict[str, set[str]] = {}
    for process, file in ran:
        processes.setdefault(file, set()).add(process)
    (real_time,) = processes["tests/e2e/test_c"] | processes["tests/e2e/test_d"]
    assert processes["tests/test_a"] == {"gw0", "gw1"} - {real_time}
    assert len(processes["tests/test_b"]) == 1
