import gzip
import hashlib
import json
import random

import pytest

from sodalyte.analysis.results import Subject, judge
from sodalyte.database import find, load_results, open_database, save_results
from sodalyte.database.exchange import export_results, import_results
from sodalyte.database.store import BLOBS, OUTPUTS
from sodalyte.errors import DatabaseError, QueryError


def result(number, **fields):
    subject = Subject(
        material=f"Na{number}S", polymorph="cubic", level="EMT", recipe="quick", calculations=(f"u{number}",)
    )
    return judge(subject, property="window_width", value=number / 7, unit="V", data={"steps": [number]}, **fields)


SEGMENT = {
    "path": "u1/u1.h5",
    "first_step": 0,
    "last_step": 10,
    "n_frames": 1,
    "n_atoms": 2,
    "time_step": 2.0,
    "sample_interval": 10,
    "sha256": "0" * 64,
}


@pytest.fixture
def filled(database):
    save_results(database, [result(number) for number in range(1, 6)])
    outputs = [{"uuid": f"u{number}", "index": 1, "output": {"energy": -number / 3}} for number in range(1, 6)]
    outputs[0]["output"] |= {"segment": SEGMENT, "nan": float("nan")}
    database.collection(OUTPUTS).insert_many(outputs)
    database.collection(BLOBS).insert_one({"blob_uuid": "b", "job_uuid": "u1", "job_index": 1, "data": [1, 2, 3]})
    return database


@pytest.fixture
def empty(tmp_path):
    with open_database(f"lite://{tmp_path / 'other'}") as opened:
        yield opened


def test_results_and_their_calculations_arrive_unchanged_and_once(filled, empty, tmp_path):
    file = tmp_path / "all.gz"
    assert export_results(filled, file, calculations=True).calculations == 5
    moved = import_results(empty, file)
    assert (moved.new_results, moved.new_calculations) == (5, 5)
    assert load_results(empty) == load_results(filled)
    assert find(empty, columns=["key", "created_at"]) == find(filled, columns=["key", "created_at"])
    assert empty.collection(OUTPUTS).find_one({"uuid": "u1"})["output"]["segment"] == SEGMENT
    assert empty.job_store.additional_stores["data"].query_one({"job_uuid": "u1"})["data"] == [1, 2, 3]
    again = import_results(empty, file)
    assert (again.results, again.new_results, again.new_calculations) == (5, 0, 0)


def test_the_same_results_give_the_same_file(filled, tmp_path):
    one, other = tmp_path / "one.gz", tmp_path / "other.gz"
    export_results(filled, one)
    export_results(filled, other)
    assert one.read_bytes() == other.read_bytes()


def test_an_export_takes_the_place_of_an_older_one_at_once(filled, tmp_path):
    file = tmp_path / "all.gz"
    export_results(filled, file)
    older = file.read_bytes()
    with file.open("rb") as reader:
        export_results(filled, file, ["value > 0.4"])
        assert reader.read() == older
    assert file.read_bytes() != older


def test_terms_choose_what_is_exported(filled, empty, tmp_path):
    file = tmp_path / "some.gz"
    assert export_results(filled, file, ["value > 0.4"], calculations=True).results == 3
    import_results(empty, file)
    assert {output["uuid"] for output in empty.collection(OUTPUTS).find()} == {"u3", "u4", "u5"}
    with pytest.raises(QueryError):
        export_results(filled, file, ["colour = red"])


def test_what_is_there_already_is_not_changed(filled, empty, tmp_path):
    file = tmp_path / "all.gz"
    export_results(filled, file)
    save_results(empty, [result(1, uncertainty=0.1)])
    assert import_results(empty, file).new_results == 4
    assert find(empty, ["material = Na1S"])[0]["uncertainty"] == 0.1


def packed(path, lines, *, footer=None):
    text = "".join(f"{line}\n" for line in [json.dumps({"format": "sodalyte export", "version": 1}), *lines])
    digest = hashlib.sha256(text.encode()).hexdigest()
    counts = {"results": 0, "outputs": 0, "blobs": 0}
    for line in lines:
        for kind in counts:
            counts[kind] += line.startswith(f'{{"{kind}"')
    end = json.dumps(footer or {"end": counts, "sha256": digest})
    path.write_bytes(gzip.compress(f"{text}{end}\n".encode()))


def exported(**changes):
    document = result(1).model_dump(mode="json") | {"key": result(1).key(), "_id": result(1).key(), "created_at": "x"}
    return json.dumps({"results": document | changes})


def calculation(**output):
    return json.dumps({"outputs": {"uuid": "u", "index": 1, "output": output}})


def test_the_forged_files_below_would_be_imported_without_their_fault(empty, tmp_path):
    packed(tmp_path / "sound.gz", [exported(), calculation(segment=SEGMENT)])
    assert import_results(empty, tmp_path / "sound.gz").new_results == 1


@pytest.mark.parametrize(
    ("lines", "complaint"),
    [
        ([exported(value="much")], "valid number"),
        ([exported(value=float("nan"))], "finite"),
        ([exported(key="0" * 32)], "key of another"),
        ([exported(material="K2S")], "key of another"),
        ([exported(colour="red")], "unknown fields"),
        ([exported(status="refused", reason="why")], "no number"),
        ([calculation(segment=SEGMENT | {"path": "../../etc/passwd"})], "below the trajectory root"),
        ([calculation(deep=[{"segment": SEGMENT | {"path": "/etc/passwd"}}])], "below the trajectory root"),
        ([calculation(thing={"@module": "os", "@class": "system"})], "package 'os'"),
        ([calculation(thing={"@module": "sodalyte", "@callable": "run"})], "holds a job"),
        ([json.dumps({"users": {"name": "x"}})], "unknown kind"),
        ([json.dumps({"outputs": {"uuid": {"$gt": ""}, "index": 1}})], "no uuid"),
        (["[" * 100_000], None),
        (["not JSON"], None),
        (["[1]"], "not a document"),
        ([exported()[:-5]], None),
        ([exported(), json.dumps({"format": "sodalyte export", "version": 1})], None),
    ],
)
def test_hostile_documents_are_refused_before_anything_is_written(empty, tmp_path, lines, complaint):
    file = tmp_path / "hostile.gz"
    packed(file, [json.dumps({"results": json.loads(exported())["results"]}), *lines])
    with pytest.raises(DatabaseError, match=complaint) as caught:
        import_results(empty, file)
    assert "\n" not in str(caught.value)
    assert find(empty) == []
    assert empty.collection(OUTPUTS).find_one() is None


def test_flows_that_a_job_asked_for_are_not_imported(empty, tmp_path):
    output = {"uuid": "u", "index": 1, "output": 1, "outcome": {"replace": '{"@module": "os"}', "stop_jobflow": False}}
    plain = {"uuid": "v", "index": 1, "output": 1, "outcome": {"replace": None, "stop_jobflow": False}}
    packed(tmp_path / "file.gz", [json.dumps({"outputs": document}) for document in (output, plain)])
    import_results(empty, tmp_path / "file.gz")
    assert "outcome" not in empty.collection(OUTPUTS).find_one({"uuid": "u"})
    assert empty.collection(OUTPUTS).find_one({"uuid": "v"})["outcome"] == plain["outcome"]


def test_damage_anywhere_is_noticed(filled, empty, tmp_path):
    file, damaged = tmp_path / "all.gz", tmp_path / "damaged.gz"
    export_results(filled, file, calculations=True)
    sound = file.read_bytes()
    rng = random.Random(1)
    for _ in range(60):
        position = rng.randrange(10, len(sound))
        damaged.write_bytes(
            rng.choice([sound[:position], sound[:position] + bytes([sound[position] ^ 4]) + sound[position + 1 :]])
        )
        with pytest.raises(DatabaseError):
            import_results(empty, damaged)
        assert find(empty) == []


def test_wrong_counts_checksums_and_endings_are_refused(empty, tmp_path):
    file = tmp_path / "file.gz"
    text = gzip.decompress(packed(file, [exported()]) or file.read_bytes()).decode().splitlines(keepends=True)
    end = json.loads(text[-1])
    for complaint, lines in {
        "checksum": [*text[:-1], json.dumps(end | {"sha256": "0" * 64}) + "\n"],
        "counts": [*text[:-1], json.dumps(end | {"end": end["end"] | {"results": 2}}) + "\n"],
        "end is missing": text[:-1],
        "follows its end": [*text, "{}\n"],
        "not an export": text[1:],
    }.items():
        file.write_bytes(gzip.compress("".join(lines).encode()))
        with pytest.raises(DatabaseError, match=complaint):
            import_results(empty, file)


def test_nothing_is_written_before_the_whole_file_is_sound(empty, tmp_path):
    file = tmp_path / "file.gz"
    lines = [json.dumps({"blobs": {"blob_uuid": f"b{number}"}}) for number in range(1200)]
    packed(file, lines, footer={"end": {}, "sha256": "0" * 64})
    with pytest.raises(DatabaseError, match="checksum"):
        import_results(empty, file)
    assert not empty.collection(BLOBS).count_documents({})


def test_bombs_are_refused_early(empty, tmp_path):
    file = tmp_path / "bomb.gz"
    with gzip.open(file, "wb") as stream:
        stream.write(json.dumps({"format": "sodalyte export", "version": 1}).encode() + b"\n")
        for _ in range(30):
            stream.write(exported().encode() + b" " * 10_000_000 + b"\n")
    with pytest.raises(DatabaseError, match="far more"):
        import_results(empty, file)
    with gzip.open(file, "wb") as stream:
        for _ in range(10):
            stream.write(b" " * 10_000_000)
    with pytest.raises(DatabaseError, match="too long"):
        import_results(empty, file)


def test_a_file_that_cannot_be_read_or_written_is_one_sentence(filled, empty, tmp_path):
    for path in (tmp_path / "missing.gz", tmp_path):
        with pytest.raises(DatabaseError, match=str(path)):
            import_results(empty, path)
    with pytest.raises(DatabaseError, match="cannot be written"):
        export_results(filled, tmp_path / "nowhere" / "file.gz")
    assert not list(tmp_path.glob(".*.partial"))
