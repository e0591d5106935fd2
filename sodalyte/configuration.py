"""The configuration: where VASP, its potentials, the database and the clusters are. One TOML file.

``sodalyte.toml`` of the workspace, else of the user's configuration folder. Workers learn it from their environment.
"""

from __future__ import annotations

import os
import stat
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, ValidationError

from sodalyte.errors import ConfigurationError, suggestion

FILE_NAME = "sodalyte.toml"
VASP_COMMAND = "SODALYTE_VASP_COMMAND"
"""Environment variable: the command line that starts VASP, split as a shell would, run without a shell."""

VASP_GAMMA_COMMAND = "SODALYTE_VASP_GAMMA_COMMAND"
"""Environment variable: as ``VASP_COMMAND``, for calculations at the Gamma point only."""

POTCAR_LIBRARY = "SODALYTE_POTCARS"
"""Environment variable: folder of the user's POTCAR library, laid out as pymatgen's PMG_VASP_PSP_DIR."""

Word = Annotated[str, Field(pattern=r"^[\w.+:@/=,-]+$", max_length=200)]
"""A name that reaches a queueing system: no white space, no quotes, nothing that a shell would interpret."""


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Vasp(_Section):
    """How VASP is started where jobs run, and where the user's licensed POTCAR files are."""

    command: str = Field(default="vasp_std", min_length=1)
    gamma_command: str | None = Field(default=None, description="for Gamma-only calculations; command if not given")
    potcars: Path | None = Field(default=None, description="as pymatgen's PMG_VASP_PSP_DIR, which is used if not given")
    functional: Literal["PBE", "PBE_52", "PBE_54", "PBE_64"] = Field(
        default="PBE", description="set of potentials; Materials Project's energies are of PBE"
    )
    scratch: Path | None = Field(default=None, description="fast disk with room for WAVECAR and CHGCAR")

    def environment(self) -> dict[str, str]:
        """Return the environment variables that tell jobs about VASP; those that are set already win."""
        wanted = {
            VASP_COMMAND: self.command,
            VASP_GAMMA_COMMAND: self.gamma_command or self.command,
            POTCAR_LIBRARY: str(self.potcars.expanduser()) if self.potcars else "",
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
    vasp_command: str | None = Field(default=None, description="vasp.command on this cluster, without srun")
    workspace: Path | None = Field(default=None, description="shared folder of runs; that of the command if not given")
    python: Path | None = Field(default=None, description="Python of the workers; that of the command if not given")


class Configuration(_Section):
    """What ``sodalyte.toml`` says."""

    database: str | None = Field(default=None, description="address without a password")
    credentials: Path | None = Field(default=None, description="file 'USER:PASSWORD' that only its owner may read")
    vasp: Vasp = Vasp()
    clusters: Mapping[str, Cluster] = {}
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


def user_folder() -> Path:
    """Return the folder of the user's own configuration."""
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "sodalyte"


def load_configuration(workspace: Path) -> Configuration:
    """Read ``sodalyte.toml`` of ``workspace``, else the user's; without either, everything has its default.

    Raises
    ------
    ConfigurationError
        The file cannot be read, is not TOML, holds an unknown key (the nearest is named) or an impossible value.
    """
    for path in (workspace / FILE_NAME, user_folder() / FILE_NAME):
        if path.exists():
            return _read(path)
    return Configuration()


def _read(path: Path) -> Configuration:
    try:
        return Configuration.model_validate(tomllib.loads(path.read_text()) | {"source": path})
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigurationError(f"{path} cannot be read as TOML: {error}") from error
    except ValidationError as error:
        raise ConfigurationError(f"{path}: {_explain(error)}") from error


def _explain(error: ValidationError) -> str:
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return f"unknown key {where}; {suggestion(str(first['loc'][-1]), _known_keys(first['loc']))}"
    if first["type"] == "missing":
        return f"{where} is missing"
    return f"{where} = {first['input']!r}: {first['msg']}"


def _known_keys(location: tuple[Any, ...]) -> list[str]:
    section: type[BaseModel] = Configuration
    if location[0] == "vasp" and len(location) > 1:
        section = Vasp
    elif location[0] == "clusters" and len(location) > 2:
        section = Cluster
    return [name for name in section.model_fields if name != "source"]


def read_credentials(path: Path) -> tuple[str, str]:
    """Return user and password from a file that only its owner may read.

    Raises
    ------
    ConfigurationError
        Others may read it, or it does not hold one line ``USER:PASSWORD``. No message repeats what it holds.
    """
    path = path.expanduser()
    try:
        mode = path.stat().st_mode
        line = path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"the credentials file {path} cannot be read ({type(error).__name__})") from error
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise ConfigurationError(f"others may read the credentials file {path}; run: chmod 600 {path}")
    user, separator, password = line.partition(":")
    if not separator or "\n" in line or not user or not password:
        raise ConfigurationError(f"the credentials file {path} has to hold one line USER:PASSWORD")
    return user, password
