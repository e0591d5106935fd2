"""The campaign file: which materials, which analyses, which recipe and engine. Written by hand, checked before use.

name: sulfides
materials: [Na3SbS4, Na3PS4_t, structures/mine.cif]
analyses: [stability, elasticity, diffusion]
engine: vasp
recipe: paper
overrides:
  dynamics: {temperatures: [600, 800]}
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sodalyte.errors import CampaignError, RecipeError, SodalyteError, suggestion
from sodalyte.files import UnreadableFileError, read_text
from sodalyte.safe_yaml import Document, Place, RefusedError, read_yaml

if TYPE_CHECKING:
    from jobflow import Flow

    from sodalyte.inputs.engine import Engine
    from sodalyte.inputs.recipe import Recipe
    from sodalyte.structures import Material

MAX_SIZE = 1_000_000
"""Bytes of a campaign file."""

Text = Annotated[str, Field(pattern=r"^[A-Za-z0-9_./][A-Za-z0-9_.()+/ -]{0,199}$")]
_LETTERS = "letters, digits, spaces and _ . ( ) + / - are taken, 200 at most"
_ADVICE = {
    "name": "give a word of letters, digits, _ . and -, 60 at most, that begins with a letter or digit",
    "materials": f"list formulas, library ids and paths of structure files ({_LETTERS})",
    "analyses": "list some of relaxation, stability, elasticity, diffusion, or leave the key out for all",
    "engine": "name one engine, such as vasp",
    "start_from": "name a potential, such as chgnet, or leave the key out",
    "recipe": f"give paper, quick or the path of a TOML file ({_LETTERS})",
    "overrides": "give sections of the recipe, such as {dynamics: {temperatures: [600]}}",
    "dopants": "leave the key out",
}


class _Schema(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,59}$")]
    materials: Annotated[list[Text], Field(min_length=1, max_length=10_000)]
    engine: Text
    recipe: Text
    start_from: Text | None = None
    analyses: Annotated[list[Text], Field(min_length=1)] | None = None
    overrides: dict[str, Any] = {}
    dopants: list[Any] = []


@dataclass(frozen=True)
class Campaign:
    """What a campaign file asks for.

    Attributes
    ----------
    materials
        Formulas and library ids as they stand there; structure files as absolute paths.
    analyses
        None stands for all.
    overrides
        Changes to the recipe, as :meth:`sodalyte.inputs.recipe.Recipe.override` takes them.
    source
        The file.
    start_from
        A potential from whose relaxed cell and Hessian relaxations with GPAW start.
    """

    name: str
    materials: tuple[str | Path, ...]
    engine: str
    recipe: str
    source: Path
    start_from: str | None = None
    analyses: tuple[str, ...] | None = None
    overrides: Mapping[str, Any] = field(default_factory=dict)
    document: Document = field(default=Document(None, {}), repr=False, compare=False)

    def load_recipe(self) -> Recipe:
        """Return the recipe with its overrides.

        Raises
        ------
        CampaignError
            The recipe is unknown, or an override is not one.
        """
        from sodalyte.inputs.recipe import Recipe

        with self._blaming("recipe"):
            recipe = Recipe.load(self.recipe)
        if not self.overrides:
            return recipe
        with self._blaming("overrides", *_culprit(recipe, self.overrides)):
            return recipe.override(dict(self.overrides), source="overrides")

    def load_materials(self) -> list[Material]:
        """Return the materials.

        Raises
        ------
        CampaignError
            One is unknown, or its file unreadable.
        """
        from sodalyte.structures import load

        loaded = []
        for index, material in enumerate(self.materials):
            with self._blaming("materials", index):
                loaded.append(load(material))
            if loaded[-1].path is not None and isinstance(material, str):
                raise self.error(("materials", index), f"{material} is not in the library", "write ./ before a file")
        return loaded

    def flow(self, engine: Engine | None = None) -> Flow:
        """Return everything that the campaign computes, each job with its content identity.

        Parameters
        ----------
        engine
            Instead of the one that the file names: a rehearsal's.

        Raises
        ------
        CampaignError
            A material or the recipe cannot be loaded, or the engine cannot start from the potential.
        EngineError
            The engine's package is not installed.
        """
        from sodalyte.launchers.identity import identify
        from sodalyte.workflows import ANALYSES, screen

        recipe = self.load_recipe()
        return identify(
            screen(
                self.load_materials(),
                engine=engine or self._engine(recipe),
                recipe=recipe,
                analyses=self.analyses or ANALYSES,
            )
        )

    def _engine(self, recipe: Recipe) -> Engine:
        from sodalyte.inputs.engine import prepare_engine

        if self.start_from is None:
            return prepare_engine(self.engine, recipe)
        with self._blaming("start_from"):
            return prepare_engine(self.engine, recipe, start_from=self.start_from)

    def error(self, place: Place, what: str, advice: str) -> CampaignError:
        """Return the error that says what is wrong at a place of the file."""
        return CampaignError(f"{self.source}:{self.document.line(place)}: {what}; {advice}")

    @contextmanager
    def _blaming(self, *place: str | int) -> Iterator[None]:
        try:
            yield
        except SodalyteError as error:
            raise CampaignError(f"{self.source}:{self.document.line(place)}: {error}") from error


def load_campaign(path: Path | str, *, workspace: Path | None = None) -> Campaign:
    """Read a campaign file.

    Parameters
    ----------
    workspace
        A folder beside that of the campaign file in which structure and recipe files may lie.

    Raises
    ------
    CampaignError
        The file cannot be read, is not plain YAML within the limits of :mod:`sodalyte.safe_yaml`, or asks for
        something impossible: ``FILE:LINE: what is wrong; what to do``.
    """
    source = Path(path)
    try:
        document = read_yaml(read_text(source, limit=MAX_SIZE)[0])
    except UnreadableFileError as error:
        raise CampaignError(f"{source}: it cannot be read as a campaign: {error}") from error
    except RefusedError as error:
        raise CampaignError(f"{source}:{error.line}: {error.message}") from None
    if not isinstance(document.value, dict):
        raise CampaignError(f"{source}:1: a campaign is a mapping; begin with 'name: NAME'")
    try:
        schema = _Schema.model_validate(document.value)
    except ValidationError as error:
        raise CampaignError(_explain(error, source, document)) from None
    roots = [folder.resolve() for folder in (source.absolute().parent, workspace) if folder is not None]
    campaign = Campaign(
        name=schema.name,
        materials=tuple(schema.materials),
        engine=schema.engine,
        recipe=schema.recipe,
        source=source,
        start_from=schema.start_from,
        analyses=None if schema.analyses is None else tuple(schema.analyses),
        overrides=schema.overrides,
        document=document,
    )
    _check_words(campaign, bool(schema.dopants))
    materials = tuple(
        _inside(campaign, ("materials", index), name, roots) if _is_path(name) else name
        for index, name in enumerate(schema.materials)
    )
    recipe = str(_inside(campaign, ("recipe",), schema.recipe, roots)) if _is_path(schema.recipe) else schema.recipe
    campaign = Campaign(**{**vars(campaign), "materials": materials, "recipe": recipe})
    _check_repetitions(campaign)
    campaign.load_recipe()
    return campaign


def _check_words(campaign: Campaign, doped: bool) -> None:
    from sodalyte.inputs.engine import engine_names
    from sodalyte.workflows import ANALYSES

    if doped:
        raise campaign.error(
            ("dopants",),
            "dopants cannot be enumerated by this version",
            "leave the key out, and give structure files of doped cells as materials",
        )
    if campaign.engine not in engine_names():
        advice = suggestion(campaign.engine, engine_names())
        raise campaign.error(("engine",), f"the engine {campaign.engine!r} is unknown", advice)
    for index, name in enumerate(campaign.analyses or ()):
        if name not in ANALYSES:
            raise campaign.error(("analyses", index), f"the analysis {name!r} is unknown", suggestion(name, ANALYSES))


def _check_repetitions(campaign: Campaign) -> None:
    first: dict[str | Path, int] = {}
    for index, material in enumerate(campaign.materials):
        if material in first:
            line = campaign.document.line(("materials", first[material]))
            what = f"{material} stands here again, first in line {line}"
            raise campaign.error(("materials", index), what, "keep one")
        first[material] = index


def _is_path(text: str) -> bool:
    return "/" in text or Path(text).suffix[1:].isalpha()


def _inside(campaign: Campaign, place: Place, text: str, roots: Sequence[Path]) -> Path:
    """Return the file that a path means, links followed, if it lies in one of the folders that a campaign may read."""
    candidates = [(root / text).resolve() for root in roots]
    allowed = [path for path in candidates if any(path.is_relative_to(root) for root in roots)]
    if not allowed:
        where = " and ".join(str(root) for root in roots)
        raise campaign.error(place, f"{text} leads out of {where}", "copy the file there")
    found = next((path for path in allowed if path.is_file()), None)
    if found is None:
        raise campaign.error(place, f"there is no file {allowed[0]}", _ADVICE[str(place[0])])
    return found


def _culprit(recipe: Recipe, overrides: Mapping[str, Any]) -> Place:
    """Return the place of the first override that is refused by itself."""
    for section, changes in overrides.items():
        for name in changes if isinstance(changes, dict) else ():
            if _is_refused(recipe, {section: {name: changes[name]}}):
                return (section, name)
        if _is_refused(recipe, {section: changes}):
            return (section,)
    return ()


def _is_refused(recipe: Recipe, changes: dict[str, Any]) -> bool:
    try:
        recipe.override(changes)
    except RecipeError:
        return True
    return False


def _explain(error: ValidationError, source: Path, document: Document) -> str:
    first = error.errors()[0]
    place: Place = first["loc"]
    where = f"{source}:{document.line(place)}"
    key = str(place[0])
    if first["type"] == "extra_forbidden":
        return f"{where}: unknown key {key!r}; {suggestion(key, _Schema.model_fields)}"
    if first["type"] == "missing":
        return f"{where}: the key {key!r} is missing; {_ADVICE[key]}"
    message = first["msg"][:1].lower() + first["msg"][1:]
    if first["type"] == "string_pattern_mismatch":
        message = "this name is not taken"
    given = repr(first["input"])
    given = given if len(given) <= 60 else f"{given[:57]}..."
    return f"{where}: {key} = {given}: {message}; {_ADVICE[key]}"
