"""scripts/performance.py: which cases are left, what stands in its tables, and that docs/performance.md has them as the command writes them."""

import json
import sys
from pathlib import Path

import pytest
import torch
from performance_tables import COSTS, COUNTS, SMALL, every_case, left, name_of, parts
from PIL import Image
from processes import command

from fourreal_core.files.marked_part import write_part
from fourreal_core.files.records import read_records

DOCS = Path(__file__).resolve().parent.parent.parent / "docs"


def cost(cpu: float) -> dict:
    return {"cpu": cpu, "memory": 2**21, "matrix": 1e9, "bandwidth": 2e9, "machine": "a machine", "torch": "2"}


def cells_of(table: str, row: int) -> list[str]:
    return [cell.strip() for cell in table.splitlines()[row].strip("|").split("|")]


def test_names_tell_cases_apart_and_survive_the_way_through_json():
    cases = every_case(3)
    assert len({name_of(case) for case in cases}) == len(cases)
    assert all(name_of(json.loads(json.dumps(case))) == name_of(case) for case in cases)
    assert name_of(("cost", "fill", 8, 72, 128)) == "fill 8x8 128x72"


def test_measured_cases_are_not_left_and_a_run_can_be_cut():
    found = {name_of(COSTS[0]): cost(1)}
    assert left(COSTS, found, "*", None) == COSTS[1:] and left(COSTS, found, "*", 2) == COSTS[1:3]
    assert left(every_case(0), {}, "fill 8x8 128x72", None) == [
        ("cost", "fill", 8, *SMALL)
    ]  # and not that it is counted
    assert left(COSTS, {}, "*", 0) == []


def test_each_cost_but_transports_is_counted_too():
    assert {case[1:] for case in COUNTS} == {case[1:] for case in COSTS if case[1] != "transport"}


def test_a_row_holds_seconds_memory_and_shares_of_the_best_peaks():
    found = {"fill 8x8 128x72": cost(2.0), "fill 4x4 128x72": {**cost(1.0), "matrix": 4e9}}
    found["counted fill 8x8 128x72"] = {"flops": 2e9, "bytes": 1e9}
    text = parts(found)["costs"]
    row = ["4Real Fill", "8x8", "128x72", "2.0", f"{2000 / 49 / 0.9216:.0f}", "2", "25 %", "25 %"]
    assert cells_of(text, 5) == row and cells_of(text, 4)[-2:] == ["-", "-"]
    assert "4 GFLOP/s" in text and text.count("| 8x8 |") == 2  # against cells and against pixels


def test_rows_of_another_state_of_the_code_have_a_mark():
    found = {name: {**cost(1.0), "code": code} for name, code in (("fill 4x4 128x72", "a"), ("fill 8x8 128x72", "b"))}
    text = parts(found)["costs"]
    assert cells_of(text, 4)[0] == "4Real Fill †" and cells_of(text, 5)[0] == "4Real Fill"
    assert "† Measured with another state" in text and "†" not in parts({"fill 8x8 128x72": cost(1.0)})["costs"]


def test_the_line_is_not_drawn_through_two_states_of_the_code():
    found = {f"fill {side}x{side} 128x72": {**cost(3 + 0.25 * (side - 1) ** 2), "code": "b"} for side in (4, 8, 16)}
    found = {"fill 32x32 128x72": {**cost(900), "code": "a"}, **found}
    assert cells_of(parts(found)["growth"], 2) == ["4Real Fill", "3.0", "250", "0 %", "250", "250", "-"]


def test_cost_per_grid_and_per_cell_of_a_straight_line():
    found = {f"fill {side}x{side} 128x72": cost(3 + 0.25 * (side - 1) ** 2) for side in (4, 8, 16, 32)}
    assert cells_of(parts(found)["growth"], 2) == ["4Real Fill", "3.0", "250", "0 %", "250", "250", "250"]
    found["fill 32x32 128x72"] = cost(500)  # rises
    assert cells_of(parts(found)["growth"], 2)[-2:] == ["250", f"{1000 * (500 - 59.25) / 736:.0f}"]


def test_parts_without_results_are_left_as_they_are():
    assert parts({}) == {}
    assert parts({"tiles 8": {"tiles": 1, "memory": 3 * 2**20}}).keys() == {"tiles"}


def test_the_document_holds_what_the_command_writes(tmp_path):
    """From the results beside it, so that no number in its tables is written by hand."""
    found = {record["case"]: record for record in read_records(DOCS / "performance.jsonl")}
    assert found.keys() <= {name_of(case) for case in every_case(100)}
    copy = tmp_path / "performance.md"
    copy.write_text((DOCS / "performance.md").read_text(encoding="utf-8"), encoding="utf-8")
    for name, text in parts(found).items():
        write_part(copy, name, text)
    assert copy.read_text(encoding="utf-8") == (DOCS / "performance.md").read_text(encoding="utf-8")


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from Linux")
def test_operations_of_a_fill_are_counted_and_attention_among_them():
    import performance_cases

    q = torch.rand(2, 3, 7, 8)
    assert performance_cases.attention_flops(q.shape, (2, 3, 5, 8), (2, 3, 5, 4)) == 2 * 42 * 5 * 12
    attention = {torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: performance_cases.attention_flops}
    with torch.no_grad(), performance_cases.FlopCounterMode(display=False, custom_mapping=attention) as counter:
        torch.nn.functional.scaled_dot_product_attention(q, q, q)
    assert counter.get_total_flops() == 4 * 6 * 7 * 7 * 8


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from Linux")
def test_the_command_measures_goes_on_and_writes(tmp_path):
    results, document = tmp_path / "results.jsonl", tmp_path / "document.md"
    marks = [f"<!-- {name} -->\n<!-- end of {name} -->\n" for name in ("costs", "growth")]
    document.write_text("".join(marks), encoding="utf-8")
    words = ("--results", results, "--write", document, "--only", "transport [48]x* 128x72", "--most", 1)
    command("performance.py", *words)
    assert [record["case"] for record in read_records(results)] == ["transport 4x4 128x72"]
    command("performance.py", *words)
    first, second = read_records(results)
    assert second["case"] == "transport 8x8 128x72" and second["cpu"] > first["cpu"] > 0 < first["memory"]
    command("performance.py", *words)
    assert len(read_records(results)) == 2  # nothing is left
    assert document.read_text(encoding="utf-8").count("| Transport | 8x8 | 128x72 |") == 2


def test_rows_of_the_picture_wait_for_the_last_one(tmp_path):
    from performance_detail import joined, row_of

    picture = tmp_path / "detail.jpg"
    for number, shade in enumerate((40, 120, 200)):
        joined(picture, 3)
        assert not picture.exists()
        Image.new("RGB", (96, 16), (shade,) * 3).save(row_of(picture, number))
    joined(picture, 3)
    with Image.open(picture) as whole:
        assert whole.size == (96, 48)
        assert [round(whole.getpixel((50, y))[0], -1) for y in (8, 24, 40)] == [40, 120, 200]
    assert list(tmp_path.iterdir()) == [picture]


def test_a_document_without_the_marks_is_refused(tmp_path):
    results, document = tmp_path / "results.jsonl", tmp_path / "document.md"
    results.write_text(json.dumps({"case": "tiles 8", "tiles": 1, "memory": 2**20}) + "\n", encoding="utf-8")
    document.write_text("no marks", encoding="utf-8")
    with pytest.raises(SystemExit, match="performance.py: expected .*<!-- tiles -->"):
        command("performance.py", "--most", 0, "--results", results, "--write", document)
