import os
import stat
from contextlib import suppress
from pathlib import Path

import pytest

from sodalyte.configuration import (
    DATABASE,
    POTCAR_FUNCTIONAL,
    POTCAR_LIBRARY,
    VASP_COMMAND,
    VASP_GAMMA_COMMAND,
    Configuration,
    database_address,
    exported,
    load_configuration,
    read_credentials,
)
from sodalyte.errors import ConfigurationError

FULL = """
database = "mongodb://db.example.org:27017/sodalyte"
credentials = "secrets/mongo"

[vasp]
command = "mpirun -np 16 vasp_std"
potcars = "~/potcars"
functional = "PBE_54"

[clusters.big]
partition = "normal"
account = "proj-17"
cores = 48
nodes = 2
walltime = 24
environment = ["module load vasp", "ulimit -s unlimited"]
"""


@pytest.fixture(autouse=True)
def no_environment(monkeypatch, tmp_path):
    for name in (DATABASE, VASP_COMMAND, VASP_GAMMA_COMMAND, POTCAR_LIBRARY, POTCAR_FUNCTIONAL):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home" / ".config"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


@pytest.fixture
def write(tmp_path):
    def write(text, *, folder=tmp_path / "work"):
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "sodalyte.toml"
        path.write_text(text)
        path.chmod(0o644)
        return folder

    return write


def test_without_a_file_everything_has_its_default(tmp_path):
    assert load_configuration(tmp_path) == Configuration()
    assert Configuration().vasp.command == "vasp_std"


def test_every_key_arrives_and_relative_paths_count_from_the_file(write, tmp_path):
    folder = write(FULL)
    configuration = load_configuration(folder)
    assert configuration.credentials == folder / "secrets" / "mongo"
    assert configuration.vasp.potcars == tmp_path / "home" / "potcars"
    cluster = configuration.cluster("big")
    assert (cluster.cores, cluster.nodes, cluster.walltime) == (48, 2, 24)
    assert cluster.environment == ("module load vasp", "ulimit -s unlimited")
    assert configuration.source == folder / "sodalyte.toml"


def test_the_example_is_sound(write):
    example = Path(__file__).parents[1] / "examples" / "sodalyte.toml"
    configuration = load_configuration(write(example.read_text()))
    assert configuration.vasp.potcars == Path("~/potcars").expanduser()
    assert configuration.cluster("mycluster").cores == 64


def test_the_workspace_wins_over_the_user(write, tmp_path):
    write('[vasp]\ncommand = "mine"\n', folder=tmp_path / "home" / ".config" / "sodalyte")
    assert load_configuration(tmp_path / "elsewhere").vasp.command == "mine"
    assert load_configuration(write('[vasp]\ncommand = "theirs"\n')).vasp.command == "theirs"


def test_jobs_learn_from_the_environment_and_what_is_set_wins(write, monkeypatch):
    vasp = load_configuration(write(FULL)).vasp
    environment = vasp.environment()
    assert environment[VASP_COMMAND] == environment[VASP_GAMMA_COMMAND] == "mpirun -np 16 vasp_std"
    assert environment[POTCAR_LIBRARY].endswith("/home/potcars")
    monkeypatch.setenv(VASP_COMMAND, "already set")
    assert vasp.environment()[VASP_COMMAND] == vasp.environment()[VASP_GAMMA_COMMAND] == "already set"
    assert POTCAR_LIBRARY not in Configuration().vasp.environment()


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("databse = 'lite://x'", "unknown key databse; did you mean 'database'"),
        ("[vasp]\ncomand = 'x'", "unknown key vasp.comand; did you mean 'command'"),
        ("[clusters.a]\ncores=1\nwalltime=1\npartitions='x'", "did you mean 'partition'"),
        ("[clusters.a]\ncores=1", "clusters.a.walltime is missing"),
        ("[clusters.a]\ncores=0\nwalltime=1", "clusters.a.cores = 0"),
        ("[clusters.a]\ncores=1\nwalltime=inf", "clusters.a.walltime = inf"),
        ("[clusters.a]\ncores=1\nwalltime=1\naccount='x; rm -rf /'", "clusters.a.account"),
        ("[clusters.a]\ncores=1\nwalltime=1\naccount='--wrap=x'", "clusters.a.account"),
        ("[clusters.a]\ncores=1\nwalltime=1\naccount='x\\n'\npartition='a\\nb'", "clusters.a"),
        ("[clusters.'$(reboot)']\ncores=1\nwalltime=1", "the name in [clusters.$(reboot)]"),
        ("[vasp]\ncommand = 'vasp \"'", "cannot be split"),
        ("[vasp]\ncommand = ' '", "is empty"),
        ("[vasp]\ncommand = 'vasp > log'", "without a shell"),
        ("[vasp]\nfunctional = 'LDA'", "vasp.functional = 'LDA'"),
        ("[vasp\n", "as TOML"),
        ("source = '/etc/passwd'", "unknown key source"),
        ("x = " + "[" * 5000, "as TOML"),
        ("#" * 1_100_000, "larger than"),
        ("database = 'sqlite://x'", "lite://FOLDER"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence_with_the_file(write, text, sentence):
    folder = write(text)
    with pytest.raises(ConfigurationError) as caught:
        load_configuration(folder)
    assert sentence in str(caught.value)
    assert str(folder / "sodalyte.toml") in str(caught.value)
    assert "\n" not in str(caught.value).replace("\\n", "")


@pytest.mark.parametrize(
    "text",
    [
        "database = 'mongodb://me:hunter2@host/x'",
        "database = {uri = 'mongodb://me:hunter2@host/x'}",
        "database = 5\ncredentials = 'hunter2'",
        "credentials = {password = 'hunter2'}",
        "password = 'hunter2'",
    ],
)
def test_no_message_repeats_a_secret(write, text):
    with pytest.raises(ConfigurationError) as caught:
        load_configuration(write(text))
    assert "hunter2" not in str(caught.value)


def test_a_file_that_is_not_text_or_leads_nowhere_is_refused(write, tmp_path):
    folder = write("")
    path = folder / "sodalyte.toml"
    path.write_bytes(b"\xff\xfe[\x00")
    with pytest.raises(ConfigurationError, match="not UTF-8"):
        load_configuration(folder)
    path.unlink()
    path.symlink_to(tmp_path / "nowhere")
    with pytest.raises(ConfigurationError, match="No such file"):
        load_configuration(folder)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(ConfigurationError, match="not a regular file"):
        load_configuration(folder)


def test_a_file_that_everyone_may_write_is_refused(write):
    folder = write("[vasp]\ncommand = 'vasp_std'\n")
    (folder / "sodalyte.toml").chmod(0o666)
    with pytest.raises(ConfigurationError, match="chmod o-w"):
        load_configuration(folder)


def test_variables_are_exported_for_as_long_as_it_lasts(monkeypatch):
    monkeypatch.setenv(VASP_COMMAND, "before")
    with suppress(RuntimeError), exported({VASP_COMMAND: "during", POTCAR_LIBRARY: "/library"}):
        assert (os.environ[VASP_COMMAND], os.environ[POTCAR_LIBRARY]) == ("during", "/library")
        raise RuntimeError
    assert os.environ[VASP_COMMAND] == "before"
    assert POTCAR_LIBRARY not in os.environ


def test_an_unknown_cluster_names_the_known(write):
    configuration = load_configuration(write(FULL))
    with pytest.raises(ConfigurationError, match="did you mean 'big'"):
        configuration.cluster("bigg")
    with pytest.raises(ConfigurationError, match="describes none"):
        Configuration().cluster("big")


def secret(tmp_path, content="me@lab:p@ss/w:rd%\n", mode=0o600):
    path = tmp_path / "secret"
    path.write_text(content)
    path.chmod(mode)
    return path


def test_credentials_enter_the_address_percent_encoded(write, tmp_path):
    from pymongo.uri_parser import parse_uri

    folder = write(FULL)
    (folder / "secrets").mkdir()
    secret(tmp_path).rename(folder / "secrets" / "mongo")
    parsed = parse_uri(database_address(load_configuration(folder), folder))
    assert (parsed["username"], parsed["password"]) == ("me@lab", "p@ss/w:rd%")
    assert parsed["nodelist"] == [("db.example.org", 27017)]
    assert parsed["database"] == "sodalyte"


def test_an_option_wins_over_the_environment_and_that_over_the_file(write, monkeypatch, tmp_path):
    folder = write("database = 'lite://there'\n")
    configuration = load_configuration(folder)
    assert database_address(configuration, folder) == f"lite://{folder}/there"
    monkeypatch.setenv(DATABASE, "lite://env")
    assert database_address(configuration, folder) == "lite://env"
    assert database_address(configuration, folder, given="lite://flag") == "lite://flag"
    monkeypatch.delenv(DATABASE)
    assert database_address(Configuration(), tmp_path) == f"lite://{tmp_path}/database"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o611])
def test_credentials_that_others_may_touch_are_refused(tmp_path, mode):
    path = secret(tmp_path, mode=mode)
    with pytest.raises(ConfigurationError, match="chmod 600") as caught:
        read_credentials(path)
    assert "p@ss" not in str(caught.value)


def test_of_a_link_the_file_behind_it_counts(tmp_path):
    path = secret(tmp_path, mode=0o644)
    link = tmp_path / "link"
    link.symlink_to(path)
    with pytest.raises(ConfigurationError, match="others may read"):
        read_credentials(link)
    path.chmod(stat.S_IRUSR)
    assert read_credentials(link) == ("me@lab", "p@ss/w:rd%")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_credentials_of_someone_else_are_refused(tmp_path, monkeypatch):
    path = secret(tmp_path)
    os.chown(path, 12345, 12345)
    with pytest.raises(ConfigurationError, match="belongs to someone else"):
        read_credentials(path)


@pytest.mark.parametrize("content", ["", "user", "user:", ":password", "a:b\nc:d", "a:b c"])
def test_malformed_credentials_are_refused_without_repeating_them(tmp_path, content):
    with pytest.raises(ConfigurationError, match="one line USER:PASSWORD"):
        read_credentials(secret(tmp_path, content))
