"""The report of the benchmarks, on records that pytest-benchmark would have written."""

import json
import runpy
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def timing(group, name, reference, turn, median, **info):
    return {
        "group": group,
        "stats": {"median": median, "q1": 0.9 * median, "q3": 1.1 * median},
        "extra_info": {
            "name": name,
            "reference": reference,
            "turn": turn,
            "threads": 2,
            "versions": {"torch": "2.13.0", "FrEIA": "absent"},
            **info,
        },
    }


@pytest.fixture
def written(tmp_path):
    def write(*benchmarks):
        machine = {"cpu": {"brand_raw": "Some CPU", "count": 2}, "python_version": "3.11.7"}
        record = {
            "machine_info": machine,
            "datetime": "2026-01-02T03:04:05",
            "benchmarks": benchmarks,
        }
        path = tmp_path / "timings.json"
        path.write_text(json.dumps(record))
        return path

    return write


@pytest.fixture
def report(monkeypatch, capsys):
    monkeypatch.syspath_prepend(ROOT)

    def run(path, *options):
        monkeypatch.setattr(sys, "argv", ["report", str(path), *map(str, options)])
        with pytest.raises(SystemExit, match=r"^0$"):
            runpy.run_module("benchmarks.report", run_name="__main__")
        return capsys.readouterr().out

    return run


def test_a_ratio_is_the_median_over_passes_of_what_ran_side_by_side(written, report):
    path = written(
        timing("decode", "ours", "peer", 0, 0.002),
        timing("decode", "peer", "peer", 0, 0.001),
        timing("decode", "ours", "peer", 1, 0.030),
        timing("decode", "peer", "peer", 1, 0.010),
        timing("decode", "ours", "peer", 2, 0.016),
        timing("decode", "peer", "peer", 2, 0.004),
    )
    text = report(path)
    assert "Some CPU, 2 cores, 2 threads, Python 3.11.7, torch 2.13.0, FrEIA absent" in text
    assert "| what | ms | quartiles | ratio to peer |" in text
    assert "| ours | 16.00 | 14.40 to 17.60 | 3.00 (2.00 to 4.00) |" in text
    # The fastest stands first.
    assert text.index("| peer |") < text.index("| ours |")


def test_the_floor_and_what_else_was_measured_get_columns(written, report):
    path = written(
        timing("step", "ours", "absent", 0, 0.006, error=1.25e-7),
        timing("step", "ours, products alone", "absent", 0, 0.002),
        timing("solve", "iterative", "absent", 0, 0.001, iterations=7),
        timing("solve", "iterative", "absent", 1, 0.001, iterations=9),
        timing("memory", "ours step", "ours step", 0, 1.0, peak_mib=12.3),
        timing(None, "failed", "peer", 0, 1.0),
    )
    text = report(path)
    assert "| ours | 6.00 | 5.40 to 6.60 |  | 3.00 | 1.2e-07 |" in text
    assert "products alone |\n" not in text
    assert "| iterative | 1.00 | 0.90 to 1.10 |  | 8 |" in text
    assert "| what | peak mib |" in text
    assert "| ours step | 12 |" in text
    assert "failed" not in text


def test_the_plot_shows_the_sizes(written, report, tmp_path):
    rows = [
        timing(f"{what} D={d} N={n}, cpu", "ours", "ours", 0, d * n, dim=d, batch=n, blocks=12)
        for what in ("step", "encode", "decode")
        for d, n in ((2, 256), (32, 256), (128, 256), (128, 4096))
    ]
    picture = tmp_path / "timings.svg"
    report(written(*rows), "--plots", picture)
    text = picture.read_text()
    assert text.count("<!-- ours -->") == 3
    assert "<!-- dimension D -->" in text
    assert "<!-- 4096 -->" in text
