import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from sodalyte.analysis.figures.notation import unit_symbol
from sodalyte.errors import UsageError, WorkspaceError
from sodalyte.report import Run, write_report
from sodalyte.report.cases import arrange

VOID = {"meta", "br", "hr", "img", "link", "input", "col", "wbr", "base"}
LOADS = {"src", "srcset", "data", "poster", "action", "formaction", "background", "xlink:href"}


class Page(HTMLParser):
    """A page as a parser sees it: every tag closed, ids, links, and the text under each id."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.text: list[str] = []
        self.words: dict[str, list[str]] = {}
        self._inside: list[tuple[int, str]] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        self.tags.append((tag, attributes))
        if attributes.get("id"):
            self.ids.append(attributes["id"])
            self._inside.append((len(self.open), attributes["id"]))
        if attributes.get("href"):
            self.links.append(attributes["href"])
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag
        self._inside = [(depth, name) for depth, name in self._inside if depth < len(self.open)]

    def handle_data(self, data: str) -> None:
        self.text.append(data)
        for _, name in self._inside:
            self.words.setdefault(name, []).append(data)

    def under(self, anchor: str) -> str:
        return " ".join(" ".join(self.words[anchor]).split())


@pytest.fixture(scope="module")
def full(full_report) -> Page:
    return Page(full_report.read_text())


@pytest.fixture(scope="module")
def hostile_page(hostile_report) -> Page:
    return Page(hostile_report.read_text())


@pytest.mark.parametrize("which", ["full", "hostile_page"])
def test_the_page_stands_alone(which, request) -> None:
    page = request.getfixturevalue(which)
    names = {tag for tag, _ in page.tags}
    assert not names & {"script", "iframe", "object", "embed", "link", "img", "form", "base"}
    for tag, attributes in page.tags:
        assert not LOADS & set(attributes), tag
        assert not [name for name in attributes if name.startswith("on")], tag
        if tag != "a" and attributes.get("href"):
            assert attributes["href"].startswith("#")
    assert all(link.startswith(("#", "https://doi.org/10.")) for link in page.links)
    policy = next(attributes for _, attributes in page.tags if "http-equiv" in attributes)
    assert policy["content"] == "default-src 'none'; style-src 'unsafe-inline'"


@pytest.mark.parametrize("report", ["full_report", "hostile_report"])
def test_the_style_loads_nothing(report, request) -> None:
    styles = re.findall(r"<style>.*?</style>", request.getfixturevalue(report).read_text(), re.DOTALL)
    assert len(styles) == 1
    assert "url(" not in styles[0]
    assert "@import" not in styles[0]


@pytest.mark.parametrize("which", ["full", "hostile_page"])
def test_ids_are_unique_and_links_lead_somewhere(which, request) -> None:
    page = request.getfixturevalue(which)
    assert len(page.ids) == len(set(page.ids))
    assert {link[1:] for link in page.links if link.startswith("#")} <= set(page.ids)


def test_headings_come_in_the_order_of_reading(full) -> None:
    order = ["verdict", "comparison", "figures", "basis", "methods", "gaps", "sources"]
    assert [name for name in full.ids if name in order] == order


def test_table_headers_have_a_scope(full) -> None:
    headers = [attributes for tag, attributes in full.tags if tag == "th"]
    assert headers
    assert all(attributes.get("scope") for attributes in headers)


def test_hostile_names_are_text(hostile_report, hostile_page) -> None:
    source = hostile_report.read_text()
    assert "<script" not in source.lower()
    assert "<b>bold" not in source
    text = "".join(hostile_page.text)
    assert "<script>alert('x')</script> ../../etc/passwd" in text
    assert "\u202e" not in text
    folder = hostile_report.parent
    assert {path.parent for path in folder.rglob("*.svg")} == {folder / "figures"}
    for path in folder.rglob("*.svg"):
        assert b"<script" not in path.read_bytes().lower()


def test_every_result_is_written_with_what_it_rests_on(full, specimens) -> None:
    results = specimens.na3ps4() + specimens.na3sbs4() + specimens.refused()
    cases = arrange(results, order=["Na3SbS4"])
    assert sum(len(case.results) for case in cases) == len(results)
    for case in cases:
        for result in case.results:
            written = full.under(case.anchor(result))
            assert result.level in written
            assert f"Recipe {result.recipe}" in written
            assert f"Unit {unit_symbol(result.unit) or 'none (pure number)'}" in written
            assert all(uuid in written for uuid in result.calculations)
            for guard in result.guards:
                assert f"{guard.name}: {guard.detail}" in written
            if result.uncertainty_basis and result.value is not None:
                assert result.uncertainty_basis in written


def test_failed_guards_are_marked(full, specimens) -> None:
    cases = arrange(specimens.na3ps4() + specimens.na3sbs4() + specimens.refused(), order=["Na3SbS4"])
    warned = full.under(cases[0].anchor(cases[0].last("shear_modulus")))
    assert "! warning linearity" in warned
    assert "✓ passed born stability" in warned
    refused = full.under(cases[-1].anchor(cases[-1].last("shear_modulus")))
    assert "✗ failed linearity" in refused


def test_refused_results_show_their_whole_reason_and_no_number(full, specimens) -> None:
    cases = arrange(specimens.na3ps4() + specimens.na3sbs4() + specimens.refused(), order=["Na3SbS4"])
    case = cases[-1]
    refused = [result for result in case.results if result.status == "refused"]
    assert len(refused) > 8
    for result in refused:
        written = full.under(case.anchor(result))
        assert f"Reason {result.reason}" in written
        assert "±" not in written
        assert "95 % interval" not in written
        assert "standard uncertainty" not in written


def test_both_answers_of_strained_cells_are_set_side_by_side(specimens, tmp_path) -> None:
    results = specimens.unstable()
    (case,) = arrange(results)
    page = Page(write_report(results, tmp_path).read_text())
    instability = page.under(case.anchor(case.last("structural_instability")))
    assert "e_yz +0.01 0.60 −12.00" in instability
    assert "e_xx −0.01 1.40 1.40" in instability
    assert "unstable against shear e_yz" in page.under(case.anchor(case.last("symmetric_shear_modulus")))
    assert "G (Hill), symmetric answer" in " ".join(page.text)


def test_the_quick_recipe_has_a_banner(full, specimens, tmp_path) -> None:
    assert "Quick recipe: not for quoting." in "".join(full.text)
    paper = write_report(specimens.relaxed_only("Na3SbS4"), tmp_path / "quick").read_text()
    assert "not for quoting" in paper
    results = [result.model_copy(update={"recipe": "paper"}) for result in specimens.relaxed_only("Na3SbS4")]
    assert "not for quoting" not in write_report(results, tmp_path / "paper").read_text()


def test_repeated_answers_have_a_banner(specimens, tmp_path) -> None:
    results = specimens.relaxed_only("Na3SbS4")
    again = results[0].model_copy(update={"value": 7.5, "calculations": ("another",)})
    text = write_report([*results, again], tmp_path).read_text()
    assert "More than one answer." in text
    assert "7.312" in text
    assert "7.500" in text


def test_the_run_is_described_as_far_as_it_is_known(specimens, tmp_path) -> None:
    run = Run(command="sodalyte run Na3SbS4", date="1 May 2026", notes=("temperatures: not given",))
    text = write_report(specimens.relaxed_only("Na3SbS4"), tmp_path, title="A title", run=run).read_text()
    assert all(word in text for word in ("sodalyte run Na3SbS4", "1 May 2026", "temperatures: not given", "A title"))


def test_only_what_was_run_is_explained_and_cited(specimens, tmp_path) -> None:
    text = write_report(specimens.relaxed_only("Na3SbS4"), tmp_path).read_text()
    assert "kinisi" not in text
    assert "Pugh" not in re.sub(r"<style>.*?</style>", "", text, flags=re.DOTALL).split("Methods")[1].split("gaps")[0]
    assert "the diffusion of Na was not computed" in text


@pytest.mark.parametrize("doi", ["10.1039/d4ee06171c", "10.1038/s42256-023-00716-3", "10.1021/acs.jctc.4c01249"])
def test_sources_are_cited(full, doi) -> None:
    assert f"https://doi.org/{doi}" in full.links


def test_the_same_results_give_the_same_bytes_in_any_process(specimens, tmp_path) -> None:
    here = write_report(specimens.refused(), tmp_path / "here")
    script = (
        "import runpy, sys; from sodalyte.report import write_report; "
        "write_report(runpy.run_path(sys.argv[1])['refused'](), sys.argv[2])"
    )
    source = str(Path(specimens.__file__))
    subprocess.run(
        [sys.executable, "-W", "error", "-c", script, source, str(tmp_path / "there")],
        check=True,
        env={**os.environ, "PYTHONHASHSEED": "7"},
    )
    files = sorted(path.relative_to(here.parent) for path in here.parent.rglob("*") if path.is_file())
    assert [name.suffix for name in files] == [".pdf", ".svg", ".html"]
    for name in files:
        assert (tmp_path / "there" / name).read_bytes() == (here.parent / name).read_bytes(), name


def test_figures_are_files_too(full_report) -> None:
    figures = full_report.parent / "figures"
    for suffix, start in ((".svg", b"<?xml"), (".pdf", b"%PDF")):
        found = sorted(figures.glob(f"*{suffix}"))
        assert len(found) == 10
        assert all(path.read_bytes().startswith(start) for path in found)
        assert {path.stem for path in found} >= {"arrhenius", "cells", "elasticity", "msd-Na3SbS4-tetragonal"}


def test_a_second_report_replaces_the_first(specimens, tmp_path) -> None:
    first = write_report(specimens.relaxed_only("Na3PS4"), tmp_path)
    second = write_report(specimens.relaxed_only("Na3SbS4"), tmp_path)
    assert first == second
    assert "Na₃PS₄" not in second.read_text()


def test_a_folder_that_cannot_be_written(specimens, tmp_path) -> None:
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(WorkspaceError, match="taken"):
        write_report(specimens.relaxed_only("Na3SbS4"), tmp_path / "taken")


def test_no_results(tmp_path) -> None:
    with pytest.raises(UsageError, match="no results"):
        write_report([], tmp_path)
    assert list(tmp_path.iterdir()) == []
