"""The scripts of bench/ as programs: children, the peers' worker, and smoke runs with tiny shapes
(that they work, not how fast)."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
BENCH = REPOSITORY / "bench"
sys.path.insert(0, str(BENCH))

from benchlib.cells import Cell  # noqa: E402
from benchlib.child import Child, ChildDied, Refused  # noqa: E402


# Children


def talker(tmp_path: Path, body: str) -> list[str]:
    script = tmp_path / "talker.py"
    script.write_text("import json, sys, time\nfor line in sys.stdin:\n"
                      "    do = json.loads(line)['do']\n" + body)
    return [sys.executable, str(script)]


def test_child_answers_refuses_and_dies(tmp_path):
    body = ("    if do == 'die': sys.exit('last words')\n"
            "    print(json.dumps({'ok': do != 'no', 'error': 'usage', 'message': do}),"
            " flush=True)\n")
    with Child("talker", talker(tmp_path, body)) as child:
        assert child.about["message"] == "hello"
        with pytest.raises(Refused) as refused:
            child.ask("no")
        assert refused.value.kind == "usage"
        child.pause()
        child.resume()
        assert child.ask("yes")["ok"]
        with pytest.raises(ChildDied, match="last words"):
            child.ask("die")
        with pytest.raises(ChildDied):
            child.ask("again")


def test_child_that_is_paused_can_be_closed(tmp_path):
    body = "    print(json.dumps({'ok': True}), flush=True)\n"
    child = Child("talker", talker(tmp_path, body))
    child.pause()
    child.close()
    with pytest.raises(ProcessLookupError):
        os.kill(child.pid, 0)


def test_child_that_says_nothing_is_given_up(tmp_path):
    with pytest.raises(ChildDied, match="no answer within"):
        Child("talker", talker(tmp_path, "    time.sleep(60)\n"), timeout_s=0.2)


# Smoke runs


@pytest.fixture(scope="module")
def serve() -> Path:
    """$ATTNBENCH_SERVE, beside $ATTNBENCH_BINARY, or the newest in build/."""
    named = os.environ.get("ATTNBENCH_SERVE")
    binary = os.environ.get("ATTNBENCH_BINARY")
    beside = [Path(binary).resolve().parent / "bench" / "attnbench_serve"] if binary else []
    found = list(REPOSITORY.glob("build/*/bench/attnbench_serve"))
    built = [path for path in ([Path(named)] if named else beside or found) if path.is_file()]
    if not built:
        pytest.skip("no attnbench_serve: configure with -DATTNBENCH_BENCH=ON")
    return max(built, key=lambda path: path.stat().st_mtime)


def script(name: str, *arguments, code: int = 0) -> subprocess.CompletedProcess:
    done = subprocess.run([sys.executable, str(BENCH / name), *map(str, arguments)], text=True,
                          capture_output=True, timeout=300, check=False)
    assert done.returncode == code, f"{done.stdout}\n{done.stderr}"
    return done


def test_serve_times_what_it_has_verified(serve):
    with Child("serve", [serve]) as child:
        assert "flash" in child.about["variants"]
        cell = Cell("flash", 33, heads=2, causal=True)
        facts = child.ask("prepare", id="a", **cell.request())
        assert facts["error_rel_l2"] < 1e-5 and facts["checked_rows"] == 8
        assert facts["workspace_peak_bytes"] == facts["workspace_bytes"]
        assert facts["useful_flops"] == 33 * 34 / 2 * 2 * 128 * 2
        answer = child.ask("time", id="a", iterations=3)
        assert answer["iterations"] == 3 and answer["wall_s"] > 0
        ceilings = child.ask("ceilings", threads=[1], seconds=0.05)
        assert ceilings["compute"][0]["fma_flops_per_s"] > 0
        bound = child.ask("bound", id="a", fma_flops_per_s=1e9, exp_per_s=1e9)
        expected = facts["performed_flops"] / 1e9 + facts["exp_count"] / 1e9
        assert bound["bound_s"] == pytest.approx(expected)
        child.ask("drop", id="a")


@pytest.mark.parametrize("request_fields, kind", [
    ({"do": "time", "id": "nobody", "iterations": 1}, "usage"),
    ({"do": "prepare", "id": "a", "variant": "nonesuch"}, "usage"),
    ({"do": "prepare", "id": "a", "variant": "linformer", "causal": True}, "unsupported"),
    ({"do": "prepare", "id": "a", "variant": "flash", "heads": 3, "kv_heads": 2}, "usage"),
    ({"do": "prepare", "id": "a", "variant": "performer", "params": {"features": "-1"}}, "usage"),
    ({"do": "prepare", "id": "a", "variant": "flash", "threads": 0}, "usage"),
    ({"do": "prepare", "id": 7}, "usage"),
    ({"do": "dance"}, "usage"),
])
def test_serve_refuses(serve, request_fields, kind):
    with Child("serve", [serve]) as child:
        with pytest.raises(Refused) as refused:
            child.ask(request_fields.pop("do"), **request_fields)
        assert refused.value.kind == kind
        assert child.ask("hello")["ok"], "it goes on after a refusal"


def test_table_measures_and_continues(serve, tmp_path):
    flags = ("--quick", "--serve", serve, "--out", tmp_path / "t.jsonl", "--section", "main",
             "--variants", "flash,full", "--isa", "auto", "--threads", "1")
    first = script("table.py", *flags)
    assert "### auto, D=32, not causal, H=2" in first.stdout
    assert "rounds 1-1 of 2" in first.stderr
    lines = (tmp_path / "t.jsonl").read_text().count('"type": "round"')
    assert lines == 2 * 2 * 2  # Lengths, masks, rounds.
    again = script("table.py", *flags)
    assert "rounds" not in again.stderr
    assert (tmp_path / "t.jsonl").read_text().count('"type": "round"') == lines
    summary = script("table.py", "--summary", "--out", tmp_path / "t.jsonl")
    assert "| flash | 64 |" in summary.stdout
    assert "earlier" not in summary.stdout
    beside = script("table.py", *flags, "--earlier", serve)
    assert "| earlier ms T=1 | over earlier T=1 |" in beside.stdout
    assert "no file" in script("table.py", *flags, "--earlier", tmp_path / "no", code=2).stderr


def test_table_at_its_time_limit(serve, tmp_path):
    done = script("table.py", "--quick", "--serve", serve, "--out", tmp_path / "t.jsonl",
                  "--section", "main", "--isa", "auto", "--time-limit", "0", code=0)
    assert "stopped at the time limit" in done.stderr


def test_compare_builds_with_itself(serve, tmp_path):
    done = script("compare_builds.py", "--base", serve, "--head", serve, "--quick", "--out",
                  tmp_path / "c.jsonl")
    assert "2 launches on auto" in done.stdout
    assert "| flash auto T1 B1 H2:2 N64x64 D32:32 full self |" in done.stdout


def test_least_of_a_build_and_itself_goes_on_where_it_was(serve, tmp_path):
    flags = ("--serve", serve, "--serve", serve, "--quick", "--out", tmp_path / "l.jsonl")
    first = script("least.py", *flags, "--rounds", "2").stdout
    rows = [line for line in first.splitlines() if line.startswith("| auto: flash auto T1 B1 H2:2")]
    assert len(rows) == 2
    for row in rows:
        cells = [cell.strip() for cell in row.strip("|").split("|")]
        assert cells[-1] == "20"
        assert 0 < float(cells[2]) <= float(cells[4])
    assert rows[0].split("|")[-4:-2] == [" 1.000 ", " 1.000 "]
    for again in (flags, (*flags, "--summary")):
        assert all(row in script("least.py", *again).stdout for row in rows)


def test_scripts_refuse_what_they_do_not_know(tmp_path):
    assert "--section 'x'" in script("table.py", "--section", "x", code=2).stderr
    assert "has no rounds" in script("table.py", "--summary", "--out", tmp_path / "none",
                                     code=2).stderr
    assert "--peers 'x'" in script("peers.py", "--peers", "x", code=2).stderr
    assert "no file" in script("compare_builds.py", "--base", tmp_path / "no", "--head",
                               tmp_path / "no", code=2).stderr
    assert "no file" in script("table.py", "--serve", tmp_path / "no", code=2).stderr
    assert "no file" in script("least.py", "--serve", tmp_path / "no", "--cell", "flash,n=64",
                               code=2).stderr


# Peers


def test_peers_worker_checks_outputs():
    np = pytest.importorskip("numpy")
    import peers_worker
    rng = np.random.default_rng(1)
    q, k, v = (rng.standard_normal((1, 2, 9, 4)) for _ in range(3))
    for causal in (False, True):
        logits = np.einsum("bhid,bhjd->bhij", q, k) / 2
        if causal:
            logits = np.where(np.tril(np.ones((9, 9))) > 0, logits, -np.inf)
        weights = np.exp(logits)
        right = (weights / weights.sum(-1, keepdims=True)) @ v
        assert peers_worker.check(right, q, k, v, causal) < 1e-12
        with pytest.raises(peers_worker.Refused):
            peers_worker.check(right * 1.001, q, k, v, causal)
        with pytest.raises(peers_worker.Refused):
            peers_worker.check(right * math.nan, q, k, v, causal)
    with pytest.raises(peers_worker.Refused):
        peers_worker.check(right, q, k, v, False)  # The causal answer to the other question.


def test_peers_worker_says_what_is_missing():
    blocked = "import sys; sys.modules['torch'] = None; sys.path.insert(0, sys.argv.pop(1)); " \
              "import peers_worker; sys.exit(peers_worker.main(sys.argv[1:]))"
    with pytest.raises(Refused) as refused:
        Child("torch-flash", [sys.executable, "-c", blocked, BENCH, "torch-flash"])
    assert refused.value.kind == "missing"
