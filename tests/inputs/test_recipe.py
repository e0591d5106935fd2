import pytest

from sodalyte.errors import RecipeError
from sodalyte.inputs.engine import get_engine
from sodalyte.inputs.recipe import Recipe


def test_paper_is_the_papers_recipe_and_says_what_the_paper_leaves_open():
    paper = Recipe.paper()
    assert paper.electronic.functional == "PBE"
    assert paper.electronic.encut == 520
    assert paper.electronic.kpoints == (3, 3, 3)
    assert not paper.electronic.spin_polarised
    assert paper.dynamics.supercell == (2, 2, 2)
    assert {line.split(":")[0] for line in paper.left_open(thermostats=3)} >= {"temperatures", "time step", "length"}


def test_recipes_are_frozen():
    with pytest.raises(ValueError, match="frozen"):
        Recipe.quick().name = "other"


def test_a_file_overrides_fields_of_its_base(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text('base = "quick"\n[dynamics]\ntemperatures = [700, 800.5]\n')
    recipe = Recipe.load(str(file))
    assert recipe.name == "mine"
    assert recipe.dynamics.temperatures == (700.0, 800.5)
    assert recipe.dynamics.production == Recipe.quick().dynamics.production


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[dynamics]\ntemperature = [600]\n", r"unknown key \[dynamics\] 'temperature'; did you mean 'temperatures'"),
        ("[dynamic]\nseed = 2\n", r"unknown key 'dynamic'; did you mean 'dynamics'"),
        ("dynamics = 3\n", r"\[dynamics\] is a section"),
        ("[dynamics]\ntemperatures = [-300]\n", "dynamics.temperatures.0 = -300"),
        ("[dynamics]\nsegment_steps = 5000\n", "dynamics.segment_steps"),
        *(
            (f"[elasticity]\nstrains = {strains}\n", "at least two sizes")
            for strains in ("[-0.01, 0.01]", "[0.005, 0.01]", "[-0.06, -0.01, 0.01, 0.06]", "[-0.01, 0, 0.01]")
        ),
        ("[elasticity]\nrattle = 0\n", "elasticity.rattle"),
        ('[electronic]\nfunctional = "LDA"\n', "electronic.functional"),
        ('base = "papers"\n', "base 'papers' is unknown"),
        ('name = "quick"\n', "name 'quick' is that of a shipped recipe"),
        ("[dynamics]\nproduction = inf\n", "dynamics.production"),
        ("[dynamics\n", "not valid TOML"),
    ],
)
def test_a_wrong_file_is_refused_in_a_sentence(tmp_path, text, message):
    file = tmp_path / "wrong.toml"
    file.write_text(text)
    with pytest.raises(RecipeError, match=message) as caught:
        Recipe.load(str(file))
    assert "\n" not in str(caught.value)


def test_a_misspelt_recipe_name_is_refused_with_the_nearest():
    with pytest.raises(RecipeError, match="did you mean 'paper'"):
        Recipe.load("papr")


def test_only_the_shipped_recipe_carries_its_name_alone():
    assert Recipe.quick().label == "quick"
    hotter, hottest = (Recipe.quick().override({"dynamics": {"temperatures": [kelvin]}}) for kelvin in (900, 1000))
    assert hotter.label.startswith("quick-")
    assert hotter.label != hottest.label


def test_what_is_said_of_the_open_choices_is_what_is_done():
    recipe = Recipe.quick().override({"dynamics": {"temperatures": [321], "time_step": 1.5, "chain_length": 7}})
    said, of_vasp = (
        " ".join(recipe.left_open(thermostats=get_engine(name).thermostats(recipe))) for name in ("einstein", "vasp")
    )
    assert "321 K" in said
    assert "a chain of 7" in said
    assert "a single one" in of_vasp
    assert "1.5 fs" in said
