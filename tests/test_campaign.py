import os
import subprocess
import sys
import time

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from sodalyte.campaign import Campaign, load_campaign
from sodalyte.errors import CampaignError
from sodalyte.safe_yaml import RefusedError, read_yaml

GOOD = """\
name: sulfides-1
materials:
  - Na3SbS4
  - Na3PS4_c
  - ./mine.cif
engine: einstein
recipe: quick
analyses: [relaxation]
overrides:
  dynamics:
    temperatures: [600, 700]
"""


@pytest.fixture
def write(tmp_path):
    def write(text, name="campaign.yaml"):
        path = tmp_path / "folder" / name
        path.parent.mkdir(exist_ok=True)
        if isinstance(text, bytes):
            path.write_bytes(text)
        else:
            path.write_text(text)
        return path

    return write


@pytest.fixture
def cif(write):
    from sodalyte.structures import load

    return write(load("Na2S").structure.to(fmt="cif"), name="mine.cif")


def test_a_campaign_arrives_whole(write, cif):
    campaign = load_campaign(write(GOOD))
    assert campaign.name == "sulfides-1"
    assert campaign.materials == ("Na3SbS4", "Na3PS4_c", cif.resolve())
    assert campaign.analyses == ("relaxation",)
    assert campaign.load_recipe().dynamics.temperatures == (600.0, 700.0)
    assert campaign.load_recipe().label != "quick"
    assert [material.formula for material in campaign.load_materials()] == ["Na3SbS4", "Na3PS4", "Na2S"]


def test_its_flow_is_that_of_the_command_line(write, cif):
    from sodalyte.inputs.engine import get_engine
    from sodalyte.inputs.recipe import Recipe
    from sodalyte.launchers.identity import identify
    from sodalyte.structures import load
    from sodalyte.workflows import screen

    text = GOOD[: GOOD.index("overrides")]
    flow = load_campaign(write(text)).flow()
    expected = identify(
        screen(
            [load("Na3SbS4"), load("Na3PS4_c"), load(cif)],
            engine=get_engine("einstein"),
            recipe=Recipe.quick(),
            analyses=["relaxation"],
        )
    )
    assert {job.uuid for job in flow.jobs} == {job.uuid for job in expected.jobs}


def test_its_relaxations_may_start_from_a_potential(write, cif):
    from sodalyte.inputs.engine import prepare_engine
    from sodalyte.inputs.recipe import Recipe
    from sodalyte.launchers.identity import identify
    from sodalyte.structures import load
    from sodalyte.workflows import screen

    text = "name: one\nmaterials: [Na2S]\nengine: gpaw\nrecipe: paper\nanalyses: [relaxation]\n"
    flow = load_campaign(write(text + "start_from: chgnet\n")).flow()
    recipe = Recipe.paper()
    engine = prepare_engine("gpaw", recipe, start_from="chgnet")
    expected = identify(screen([load("Na2S")], engine=engine, recipe=recipe, analyses=["relaxation"]))
    assert set(flow.all_uuids) == set(expected.all_uuids) != set(load_campaign(write(text)).flow().all_uuids)
    for wrong, sentence in (("gpaw", "needs a potential"), ("chgent", "did you mean 'chgnet'")):
        with pytest.raises(CampaignError, match=rf"campaign.yaml:6: .*{sentence}"):
            load_campaign(write(f"{text}start_from: {wrong}\n")).flow()


def change(old, new):
    assert old in GOOD
    return GOOD.replace(old, new)


@pytest.mark.parametrize(
    ("text", "line", "sentence"),
    [
        ("", 1, "the file is empty"),
        ("- Na3SbS4\n", 1, "a campaign is a mapping"),
        ("name: [\n", 2, "not YAML"),
        ("name: a\n\tb: c\n", 2, "not YAML"),
        (change("engine: einstein\n", ""), 1, "the key 'engine' is missing; name one engine"),
        (change("engine: einstein", "engin: einstein"), 1, "the key 'engine' is missing"),
        (GOOD + "matrials: []\n", 12, "unknown key 'matrials'; did you mean 'materials'"),
        (GOOD + "name: again\n", 12, "stands here again, first in line 1"),
        (change("- Na3PS4_c", "- Na3SbS4"), 4, "stands here again, first in line 3"),
        (change("- Na3PS4_c", "- 12"), 4, "materials = 12"),
        (change("- Na3PS4_c", "- [a]"), 4, "materials = ['a']"),
        (change("- Na3PS4_c", "- null"), 4, "materials = None"),
        (change("einstein", "einstien"), 6, "did you mean 'einstein'"),
        (change("[relaxation]", "[elastic]"), 8, "did you mean 'elasticity'"),
        (change("[relaxation]", "[]"), 8, "some of relaxation"),
        (change("[relaxation]", "relaxation"), 8, "list some of"),
        (change("quick", "quik"), 7, "did you mean 'quick'"),
        (change("quick", "true"), 7, "recipe = True"),
        (change("temperatures", "temperature"), 11, "did you mean 'temperatures'"),
        (change("[600, 700]", "[-600]"), 11, "greater than or equal to 1"),
        (change("  dynamics:\n    temperatures: [600, 700]", "  dynamics: 5"), 10, "is a section"),
        (GOOD + "dopants: [W]\n", 12, "dopants cannot be enumerated"),
        (change("name: sulfides-1", "name: 1"), 1, "name = 1"),
    ],
)
def test_what_is_wrong_is_said_with_file_and_line(write, cif, text, line, sentence):
    path = write(text)
    with pytest.raises(CampaignError) as caught:
        load_campaign(path)
    assert str(caught.value).startswith(f"{path}:{line}: ")
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_unknown_material_is_named_with_its_line_when_it_is_loaded(write):
    campaign = load_campaign(write(change("./mine.cif", "Na3SbS5")))
    with pytest.raises(CampaignError, match=r"campaign.yaml:5: Na3SbS5 is not in the library"):
        campaign.load_materials()


@pytest.mark.parametrize(
    "name",
    ["a b", "$(reboot)", "a;b", "a/b", "../x", "-x", "a\nb", "x" * 61, "", "ä", "a`b`", "a'b", "{{name}}", "a\x00"],
)
def test_a_campaign_name_is_a_strict_word(write, name):
    quoted = '"' + name.replace("\n", "\\n").replace("\x00", "\\0") + '"'
    with pytest.raises(CampaignError, match=":1: "):
        load_campaign(write(change("sulfides-1", quoted)))


@pytest.mark.parametrize(
    "material",
    [
        *("Na3SbS4; rm -rf /", "$(reboot)", "`id`", "a|b", "a&b", "a>b", "a'b", "a\\nb", "-rf", "~/x.cif", "*.cif"),
        *("x" * 201, "", "\\u202e", "\\e[31m"),
    ],
)
def test_metacharacters_in_materials_are_refused(write, material):
    with pytest.raises(CampaignError, match=":4: materials = ") as caught:
        load_campaign(write(change("Na3PS4_c", f'"{material}"')))
    assert str(caught.value).isprintable()


def test_paths_stay_inside_the_folder_of_the_file(write, cif, tmp_path):
    outside = tmp_path / "secret.cif"
    outside.write_text(cif.read_text())
    (cif.parent / "link.cif").symlink_to(outside)
    (cif.parent / "inner.cif").symlink_to(cif)
    (cif.parent / "up").symlink_to(tmp_path)
    os.mkfifo(cif.parent / "pipe.cif")
    for name in ("../secret.cif", "./link.cif", "up/secret.cif", "/etc/passwd", str(outside)):
        with pytest.raises(CampaignError, match=r":5: .* leads out of"):
            load_campaign(write(change("./mine.cif", name)))
    for name in ("./nowhere.cif", "./pipe.cif", ".", "mine.cif/x"):
        with pytest.raises(CampaignError, match=r":5: there is no file"):
            load_campaign(write(change("./mine.cif", name if name != "." else "./")))
    assert load_campaign(write(change("./mine.cif", "inner.cif"))).materials[2] == cif
    assert load_campaign(write(change("./mine.cif", str(cif)))).materials[2] == cif
    assert load_campaign(write(change("./mine.cif", "secret.cif")), workspace=tmp_path).materials[2] == outside


def test_recipe_files_stay_inside_as_well(write, cif, tmp_path):
    text = 'base = "quick"\n[dynamics]\nproduction = 1.0\n'
    (tmp_path / "mine.toml").write_text(text)
    write(text, name="mine.toml")
    assert load_campaign(write(change("quick", "mine.toml"))).load_recipe().dynamics.production == 1.0
    with pytest.raises(CampaignError, match=r":7: .* leads out of"):
        load_campaign(write(change("quick", "../mine.toml")))


def test_a_name_never_reads_a_file_of_the_current_folder(write, cif, monkeypatch):
    (cif.parent / "Na3X").write_text(cif.read_text())
    monkeypatch.chdir(cif.parent)
    with pytest.raises(CampaignError, match=":5: "):
        load_campaign(write(change("./mine.cif", "Na3X"))).load_materials()


DEEP = "name: " + "[" * 400 + "]" * 400
LAUGHS = "a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\n"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("#" * 1_000_001, "larger than 1000 kB"),
        ("name: " + "x" * 900_000, "longer than"),
        (DEEP, "nested deeper"),
        ("{" * 400_000, "key has to be a text"),
        ("- " * 400_000, "nested deeper"),
        ("? " * 400_000, "key has to be a text"),
        ("x: [" + "a," * 60_000 + "]", "more than 50000"),
        (LAUGHS, "anchors and aliases"),
        ("a: *b", "anchors and aliases"),
        ("a: !!python/object/apply:os.system ['touch pwned']", "tags"),
        ("!!map {a: b}", "tags"),
        ("a: !!str 5", "tags"),
        ("base: {x: 1}\na:\n  <<: {y: 1}", "merge keys"),
        ("%YAML 1.1\n---\na: b", "directives"),
        ("%TAG ! tag:x,2000:\n---\na: b", "directives"),
        ("a: b\n---\nc: d", "second document"),
        ("[a, b]: c", "key has to be a text"),
        ("1: c", "key has to be a text"),
        ("a: 1e999", "too large"),
        ("a: \x07", "cannot be printed"),
        (b"a: \xff\xfe", "not UTF-8"),
        ("name: x".encode("utf-16"), "not UTF-8"),
    ],
)
def test_hostile_files_are_refused_at_once(write, monkeypatch, tmp_path, text, sentence):
    monkeypatch.chdir(tmp_path)
    path = write(text)
    began = time.process_time()
    with pytest.raises(CampaignError, match=sentence) as caught:
        load_campaign(path)
    assert time.process_time() - began < 5
    assert len(str(caught.value)) < 500 + len(str(path))
    assert not (tmp_path / "pwned").exists()


def test_not_a_file(tmp_path):
    os.mkfifo(tmp_path / "pipe.yaml")
    for name in ("nowhere.yaml", "pipe.yaml", "", "\0"):
        with pytest.raises(CampaignError, match="cannot be read"):
            load_campaign(str(tmp_path / name) if name != "\0" else name)


def test_scalars_are_those_of_the_core_schema():
    text = "a: no\nb: 010\nc: 1:30\nd: 1.5e3\ne: ~\nf: True\ng: 2026-11-22\nh: '5'\ni: 0x10\nj: .inf\nk:\n"
    values = read_yaml(text).value
    expected = ["no", 10, "1:30", 1500.0, None, True, "2026-11-22", "5", "0x10", ".inf", None]
    assert values == dict(zip("abcdefghijk", expected, strict=True))
    assert read_yaml(text).line(("d",)) == 4


@settings(max_examples=150, deadline=None)
@given(st.text(st.sampled_from("abN3 :-[]{},&*!|>'\"%@`#?\n\t<~.0"), max_size=60))
def test_any_text_is_data_or_refused(text):
    try:
        value = read_yaml(text).value
    except RefusedError:
        return
    if isinstance(value, dict):
        assert set(value) == set(yaml.load(text, Loader=yaml.BaseLoader))  # noqa: S506  texts only


def test_reading_a_campaign_imports_no_engine(write, cif):
    code = (
        "import sys; from sodalyte.campaign import load_campaign; load_campaign(sys.argv[1]);"
        "assert not {'torch', 'chgnet', 'fireworks'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code, str(write(GOOD))], check=True)


def test_campaigns_compare_by_what_they_ask_for(write, cif):
    assert load_campaign(write(GOOD)) == load_campaign(write(GOOD))
    assert isinstance(load_campaign(write(GOOD)), Campaign)
