import operator

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sodalyte.analysis.results import Guard, Subject, judge
from sodalyte.database import find, query_frame, save_results, to_frame
from sodalyte.database.query import COLUMNS, parse_terms
from sodalyte.errors import QueryError


def subject(material, polymorph="cubic"):
    return Subject(material=material, polymorph=polymorph, level="EMT", recipe="quick", calculations=(material,))


RESULTS = [
    judge(subject("Na3SbS4", "tetragonal"), property="window_width", value=0.07, unit="V", scheme="mp2020"),
    judge(subject("Na3PS4"), property="window_width", value=0.5, uncertainty=0.1, unit="V", scheme="mp2020"),
    judge(subject("Na3PS4"), property="pugh_ratio", value=0.55, unit="1", data={"ductile": True, "hill": -1.5}),
    judge(subject("Na3PS4"), property="diffusivity", value=2e-6, unit="cm^2/s", temperature=1000.0),
    judge(
        subject("Na3PS4"),
        property="diffusivity",
        guards=(
            Guard(name="hops", passed=False, detail="not diffusive in this run: 3 hops"),
            Guard(name="drift", passed=True, detail="0.1 angstrom", required=False),
        ),
        unit="cm^2/s",
        temperature=600.0,
    ),
]


@pytest.fixture
def filled(database):
    save_results(database, RESULTS)
    return database


def shorthand(documents):
    return [(document["material"], document["property"], document["temperature"]) for document in documents]


WIDTHS = [("Na3PS4", "window_width", None), ("Na3SbS4", "window_width", None)]
MOBILE, STUCK = ("Na3PS4", "diffusivity", 1000.0), ("Na3PS4", "diffusivity", 600.0)
PUGH = ("Na3PS4", "pugh_ratio", None)


@pytest.mark.parametrize(
    ("terms", "expected"),
    [
        ([], [STUCK, MOBILE, PUGH, *WIDTHS]),
        (["property=window_width"], WIDTHS),
        (["property", "=", "window_width"], WIDTHS),
        (["property =", "window_width"], WIDTHS),
        (["property", "= window_width"], WIDTHS),
        (["property = window_width", "value>0.1"], WIDTHS[:1]),
        (["value >= 0.5"], [PUGH, WIDTHS[0]]),
        (["value > 0.5"], [PUGH]),
        (["value < 1e-5"], [MOBILE]),
        (["value <= 7e-2", "value > 1e-5"], WIDTHS[1:]),
        (["material != Na3PS4"], WIDTHS[1:]),
        (["value = null"], [STUCK]),
        (["temperature != null"], [STUCK, MOBILE]),
        (["temperature != 600"], [MOBILE, PUGH, *WIDTHS]),
        (["status = refused"], [STUCK]),
        (["reason ~ not diffusive"], [STUCK]),
        (["material ~ ^Na3(P|Sb)S4$", "property ~ width"], WIDTHS),
        (["guards.passed = false"], [STUCK]),
        (["guards.name = drift"], [STUCK]),
        (["data.ductile = true"], [PUGH]),
        (["data.hill < -1"], [PUGH]),
        (["data.hill", "<", "-1"], [PUGH]),
        (["calculations = Na3SbS4"], WIDTHS[1:]),
        (["created_at > 2026-01-01", "polymorph = tetragonal"], WIDTHS[1:]),
        (["material = $ne"], []),
        (["material = {'$ne': null}"], []),
        (["data.nothing = 1"], []),
    ],
)
def test_terms_select_on_every_backend(filled, terms, expected):
    assert shorthand(find(filled, terms)) == expected


@pytest.mark.parametrize(
    ("terms", "sentence"),
    [
        (["propery = x"], "unknown field 'propery'; did you mean 'property'"),
        (["$where = 1"], r"unknown field '\$where'"),
        (["data.$where = 1"], "unknown field"),
        (["data..a = 1"], "unknown field"),
        (["__class__ = 1"], "unknown field"),
        (["guards = x"], "guards holds more than one value; ask for guards.name"),
        (["data = x"], "ask for data.NAME"),
        (["value"], "is not FIELD OPERATOR VALUE"),
        (["value", "1"], "is not FIELD OPERATOR VALUE"),
        (["value >"], "is not FIELD OPERATOR VALUE"),
        (["= 1"], "unknown field ''"),
        (["value == 1"], "unknown operator '=='"),
        (["value => 1"], "unknown operator '=>'"),
        (["value > much"], "value holds a number, not 'much'"),
        (["value = nan"], "value holds a number, not 'nan'"),
        (["value > null"], "null has no meaning"),
        (["value ~ 1"], "value holds no text"),
        (["guards.passed = maybe"], "guards.passed holds true or false, not 'maybe'"),
        (["reason ~ ("], "invalid"),
        (["reason ~ (a+)+$"], "too complex"),
        (["reason ~ (a|aa)*$"], "too complex"),
        (["reason ~ .*.*.*.*.*x"], "too complex"),
        (["reason ~ a?a?a?a?a?aaaaa"], "too complex"),
        (["reason ~ " + "a" * 201], "too complex"),
        (["reason = \x1b[2J"], "cannot be printed"),
        (["reason = \udcff"], "cannot be printed"),
    ],
)
def test_what_cannot_be_understood_is_refused_in_a_sentence(terms, sentence):
    with pytest.raises(QueryError, match=sentence):
        parse_terms(terms)


PIECES = [
    "value",
    "property",
    "data.x",
    "guards.name",
    "$where",
    "data.$where",
    "~",
    "=",
    "!=",
    "<",
    "null",
    "1",
    "$ne",
]


@given(st.lists(st.one_of(st.sampled_from(PIECES), st.text(max_size=9)), max_size=6))
def test_any_words_give_a_filter_of_literals_or_a_query_error(words):
    try:
        criteria = parse_terms(words)
    except QueryError:
        return
    for term in criteria.get("$and", []):
        ((field, condition),) = term.items()
        ((symbol, value),) = condition.items()
        assert "$" not in field
        assert symbol in {"$eq", "$ne", "$lt", "$lte", "$gt", "$gte", "$regex"}
        assert value is None or isinstance(value, (str, float, bool))


@pytest.mark.parametrize("symbol", ["=", "<", "<=", ">", ">="])
@pytest.mark.parametrize("number", [0.07, 0.3, 0.55])
def test_numbers_compare_as_in_python(filled, symbol, number):
    compare = {"=": operator.eq, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}[symbol]
    found = {document["key"] for document in find(filled, [f"value {symbol} {number}"])}
    assert found == {result.key() for result in RESULTS if result.value is not None and compare(result.value, number)}


def test_sorting_and_limits(filled):
    values = [document["value"] for document in find(filled, ["value != null"], sort=["-value"])]
    assert values == [0.55, 0.5, 0.07, 2e-6]
    several = find(filled, sort=["-material", "value"], columns=["value"])
    assert [document["value"] for document in several] == [0.07, None, 2e-6, 0.5, 0.55]
    assert shorthand(find(filled, sort=["-temperature"], limit=2)) == [MOBILE, STUCK]


def test_columns_are_picked_also_inside(filled):
    columns = ["material", "data.ductile", "guards.name", "interval_95.0"]
    pugh, stuck = find(filled, ["data.ductile = true"], columns=columns) + find(
        filled, ["value = null"], columns=columns
    )
    assert pugh == {"material": "Na3PS4", "data.ductile": True, "guards.name": [], "interval_95.0": None}
    assert stuck["guards.name"] == ["hops", "drift"]


def test_a_whole_document_has_every_field(filled):
    (document,) = find(filled, ["data.ductile = true"])
    assert tuple(document) == COLUMNS
    assert document["data"] == {"ductile": True, "hill": -1.5}
    assert document["calculations"] == ["Na3PS4"]


@pytest.mark.parametrize(
    "options", [{"limit": 0}, {"limit": -1}, {"sort": ["-nothing"]}, {"sort": ["data"]}, {"columns": ["$where"]}]
)
def test_impossible_options_are_refused(filled, options):
    with pytest.raises(QueryError):
        find(filled, **options)


def test_the_frame_holds_what_was_found(address, filled):
    frame = query_frame(address, "property = window_width", sort=["value"])
    pd.testing.assert_series_equal(frame["value"], pd.Series([0.07, 0.5]), check_names=False)
    assert list(frame.columns) == list(COLUMNS)
    chosen = query_frame(address, "value = null", columns=["material", "temperature"])
    assert chosen.to_dict("records") == [{"material": "Na3PS4", "temperature": 600.0}]


def test_an_empty_frame_has_its_columns():
    assert list(to_frame([]).columns) == list(COLUMNS)
