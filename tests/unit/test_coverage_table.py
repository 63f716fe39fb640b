"""The coverage page says what the content, its tables and its tests say now."""

from __future__ import annotations

from compliance_agent.adapters.runbook_data import hipaa_citations
from scripts.coverage_table import PAGE, page
from tests.support.content import shipped


def test_the_coverage_page_is_the_one_that_the_script_writes() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "stale: run python -m scripts.coverage_table"


def test_every_check_has_one_row() -> None:
    rows = [line.split(" | ")[0].removeprefix("| ") for line in page().splitlines() if line.startswith("| ")]
    assert [row for row in rows if row.startswith(("LIN-", "APP-"))] == [compiled.id for compiled in shipped()]


def test_the_table_of_citations_has_the_ratings_of_the_security_rules_own_matrix() -> None:
    """Appendix A to Subpart C of Part 164: of 164.308 to 164.312, 14 specifications are required and 22 addressable."""
    citations = hipaa_citations().values()
    ratings = [one.rating for one in citations if one.kind == "specification"]
    assert (ratings.count("R"), ratings.count("A")) == (14, 22)
    assert {one.rating for one in citations} == {"R", "A"}
    assert {one.kind for one in citations} == {"standard", "specification"}
    assert all(one.rating == "R" for one in citations if one.kind == "standard")
