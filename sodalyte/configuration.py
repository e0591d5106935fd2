"""The configuration: where VASP, its potentials, the database and the clusters are. One TOML file.

``sodalyte.toml`` of the workspace, else of the user's configuration folder. Workers learn it from their environment.
"""

from __future__ import annotations

import os
import re
import shlex
import stat
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import quote_plus

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    ValidationInfo,
)

from sodalyte.errors import ConfigurationError, suggestion
from sodalyte.files import UnreadableFileError, read_text

FILE_NAME = "sodalyte.toml"
DATABASE = "SODALYTE_DATABASE"
"""Environment variable: address of the database, which may hold a password; it wins over the configuration."""

VASP_COMMAND = "SODALYTE_VASP_COMMAND"
"""Environment variable: the command line that starts VASP, split as a shell would, run without a shell."""

VASP_GAMMA_COMMAND = "SODALYTE_VASP_GAMMA_COMMAND"
"""Environment variable: as ``VASP_COMMAND``, for calculations at the Gamma point only."""

GPAW_COMMAND = "SODALYTE_GPAW_COMMAND"
"""Environment variable: the command line that starts Python for GPAW on several cores; without it GPAW runs on one."""

POTCAR_LIBRARY = "SODALYTE_POTCARS"
"""Environment variable: folder of the user's POTCAR library, laid out as pymatgen's PMG_VASP_PSP_DIR."""

POTCAR_FUNCTIONAL = "SODALYTE_POTCAR_FUNCTIONAL"
"""Environment variable: which set of potentials of that library, PBE if not set."""

Word = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.+:@/=,][A-Za-z0-9_.+:@/=,-]*$", max_length=200)]
"""A name that reaches a queueing system: no white space, no quotes, nothing that a shell would interpret, no option."""

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=100)]
"""A name that also serves as that of a folder."""

_LIMIT = 1_000_000
_SHELL = frozenset({"|", "||", "&", "&&", ";", ">", ">>", "<", "2>", "2>&1"})
_SECRET = ("database", "credentials")


def _located(path: Path, info: ValidationInfo) -> Path:
    """Return the path as seen from the folder of the configuration file, with ``~`` expanded."""
    try:
        path = path.expanduser()
    except RuntimeError as error:
        raise ValueError(str(error)) from error
    folder = (info.context or {}).get("folder")
    return folder / path if folder else path


def _split_without_shell(command: str) -> str:
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise ValueError(f"cannot be split into words ({error})") from error
    if not words:
        raise ValueError("is empty")
    if _SHELL.intersection(words):
        raise ValueError("is run without a shell: no pipes, no redirection; put them into a script of your own")
    return command


def _without_password(address: str) -> str:
    scheme, separator, rest = address.partition("://")
    if not separator or not rest or scheme not in ("lite", "mongodb", "mongodb+srv"):
        raise ValueError("has to be lite://FOLDER or mongodb://HOST[:PORT][/NAME]")
    if scheme != "lite" and "@" in rest:
        raise ValueError(f"holds user or password; put them into the file 'credentials', or use {DATABASE}")
    return address


Location = Annotated[Path, AfterValidator(_located)]
"""A path; a relative one counts from the folder of the configuration file."""

Command = Annotated[str, Field(max_length=4000), AfterValidator(_split_without_shell)]
"""A command line that is split into words as a shell would, and run without a shell."""


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Vasp(_Section):
    """How VASP is started where jobs run, and where the user's licensed POTCAR files are."""

    command: Command = "vasp_std"
    gamma_command: Command | None = Field(default=None, description="for Gamma-only calculations; command if not given")
    potcars: Location | None = Field(default=None, description="as PMG_VASP_PSP_DIR, which is used if not given")
    functional: Literal["PBE", "PBE_52", "PBE_54", "PBE_64"] = Field(
        default="PBE", description="set of potentials; Materials Project's energies are of PBE"
    )
    scratch: Location | None = Field(default=None, description="fast disk with room for WAVECAR and CHGCAR")

    def environment(self) -> dict[str, str]:
        """Return the environment variables that tell jobs about VASP; those that are set already win."""
        command = os.environ.get(VASP_COMMAND, self.command)
        wanted = {
            VASP_COMMAND: command,
            VASP_GAMMA_COMMAND: (command == self.command and self.gamma_command) or command,
            POTCAR_LIBRARY: str(self.potcars) if self.potcars else "",
            POTCAR_FUNCTIONAL: self.functional,
        }
        return {name: os.environ.get(name, value) for name, value in wanted.items() if os.environ.get(name, value)}


class Cluster(_Section):
    """One Slurm cluster: what an allocation asks for and how jobs are placed in it."""

    partition: Word | None = None
    account: Word | None = None
    qos: Word | None = None
    constraint: Word | None = None
    nodes: PositiveInt = Field(default=1, description="nodes of one allocation")
    cores: PositiveInt = Field(description="cores of one node")
    memory: PositiveInt | None = Field(default=None, description="MB of one node; all of it if not given")
    walltime: PositiveFloat = Field(description="hours of one allocation")
    side_by_side: PositiveInt = Field(default=1, description="jobs that share one allocation, each with its own cores")
    max_queued: PositiveInt = Field(default=10, description="allocations queued or running at any time, at most")
    array_limit: PositiveInt = Field(default=1000, description="tasks in one Slurm array, at most")
    warning: PositiveInt = Field(default=300, description="seconds before the limit at which jobs are asked to stop")
    environment: tuple[str, ...] = Field(default=(), description="shell lines before the worker: modules, exports")
    vasp_command: Command | None = Field(default=None, description="vasp.command on this cluster, without srun")
    gpaw_command: Command | None = Field(
        default=None, description="Python that starts GPAW on all cores of a job, without srun; one core if not given"
    )
    workspace: Location | None = Field(default=None, description="shared folder; that of the command if not given")
    python: Location | None = Field(default=None, description="Python of the workers; that of the command if not given")


class Configuration(_Section):
    """What ``sodalyte.toml`` says."""

    database: Annotated[str, AfterValidator(_without_password)] | None = Field(
        default=None, description="address without a password"
    )
    credentials: Location | None = Field(default=None, description="file 'USER:PASSWORD' that only its owner may read")
    vasp: Vasp = Vasp()
    clusters: Mapping[Name, Cluster] = {}
    source: Path | None = Field(default=None, exclude=True, description="the file that was read")

    def cluster(self, name: str) -> Cluster:
        """Return the cluster of a name.

        Raises
        ------
        ConfigurationError
            There is none.
        """
        if name not in self.clusters:
            where = self.source or f"any {FILE_NAME}"
            known = suggestion(name, self.clusters) if self.clusters else "it describes none"
            raise ConfigurationError(f"cluster {name!r} is not described in {where} under [clusters.{name}]; {known}")
        return self.clusters[name]


@contextmanager
def exported(environment: Mapping[str, str]) -> Iterator[None]:
    """Have variables in this process's environment, and thereby in that of its children, for as long as it lasts."""
    before = {name: os.environ.get(name) for name in environment}
    os.environ.update(environment)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def user_folder() -> Path:
    """Return the folder of the user's own configuration."""
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path("~/.config").expanduser()) / "sodalyte"


def load_configuration(workspace: Path) -> Configuration:
    """Read ``sodalyte.toml`` of ``workspace``, else the user's; without either, everything has its default.

    Raises
    ------
    ConfigurationError
        The file cannot be read, everyone may write it, it is not TOML, holds an unknown key (the nearest is named) or
        an impossible value. No message repeats an address or a password.
    """
    for path in (workspace / FILE_NAME, user_folder() / FILE_NAME):
        if os.path.lexists(path):  # a link to nowhere is an error, not an absence
            return _read(path.absolute())
    return Configuration()


def database_address(configuration: Configuration, workspace: Path, *, given: str | None = None) -> str:
    """Return the address of the database, with its password if it needs one: to be opened, never to be printed.

    Parameters
    ----------
    given
        An address that wins, such as an option's; else the environment's ``SODALYTE_DATABASE``, then the
        configuration's with what its credentials file holds, then the folder ``database`` of the workspace.

    Raises
    ------
    ConfigurationError
        The credentials file cannot be read, or others may read it.
    """
    if chosen := given or os.environ.get(DATABASE):
        return chosen
    address = configuration.database
    if address is None:
        return f"lite://{workspace / 'database'}"
    scheme, _, rest = address.partition("://")
    if scheme == "lite":
        folder = configuration.source.parent if configuration.source else Path()
        return f"lite://{folder / Path(rest).expanduser()}"
    if configuration.credentials is None:
        return address
    user, password = read_credentials(configuration.credentials)
    return f"{scheme}://{quote_plus(user)}:{quote_plus(password)}@{rest}"


def read_credentials(path: Path) -> tuple[str, str]:
    """Return user and password from a file that only its owner, this user, may read.

    Of a symbolic link the file that it leads to counts.

    Raises
    ------
    ConfigurationError
        Others may read it or own it, or it does not hold one line ``USER:PASSWORD``. No message repeats what it holds.
    """
    try:
        text, status = read_text(path, limit=_LIMIT)
    except UnreadableFileError as error:
        raise ConfigurationError(f"the credentials file {path} cannot be read: {error}") from error
    if status.st_uid not in (os.geteuid(), 0):
        raise ConfigurationError(f"the credentials file {path} belongs to someone else; make your own copy")
    if status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise ConfigurationError(
            f"others may read the credentials file {path}; run: chmod 600 {shlex.quote(str(path))}"
        )
    user, separator, password = text.strip().partition(":")
    if not separator or not user or not password or re.search(r"\s", user + password):
        raise ConfigurationError(f"the credentials file {path} has to hold one line USER:PASSWORD")
    return user, password


def _read(path: Path) -> Configuration:
    try:
        text, status = read_text(path, limit=_LIMIT)
        if status.st_mode & stat.S_IWOTH:
            advice = f"run: chmod o-w {shlex.quote(str(path))}"
            raise ConfigurationError(f"everyone may write {path}, which says what runs as you; {advice}")
        content = tomllib.loads(text)
        if "source" in content:
            raise ConfigurationError(f"{path}: unknown key source; {suggestion('source', _known_keys(('source',)))}")
        return Configuration.model_validate(content | {"source": path}, context={"folder": path.parent})
    except UnreadableFileError as error:
        raise ConfigurationError(f"{path} cannot be read: {error}") from error
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigurationError(f"{path} cannot be read as TOML: {error}") from error
    except ValidationError as error:
        raise ConfigurationError(f"{path}: {_explain(error)}") from error


def _explain(error: ValidationError) -> str:
    """Say what is wrong with the first bad key; what it holds only where that can be no secret."""
    first = error.errors()[0]
    location = tuple(part for part in first["loc"] if part != "[key]")
    where = ".".join(str(part) for part in location)
    if first["type"] == "extra_forbidden":
        return f"unknown key {where}; {suggestion(str(location[-1]), _known_keys(location))}"
    if first["type"] == "missing":
        return f"{where} is missing"
    if "[key]" in first["loc"]:
        return f"the name in [{where}] has to be of letters, digits and . _ -, and begin with a letter or digit"
    message = first["msg"].removeprefix("Value error, ")
    shown = isinstance(first["input"], str | int | float) and location[0] not in _SECRET
    return f"{where} = {first['input']!r}: {message}" if shown else f"{where}: {message}"


def _known_keys(location: tuple[Any, ...]) -> list[str]:
    section: type[BaseModel] = Configuration
    if location[0] == "vasp" and len(location) > 1:
        section = Vasp
    elif location[0] == "clusters" and len(location) > 2:
        section = Cluster
    return [name for name in section.model_fields if name != "source"]
