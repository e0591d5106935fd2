"""What a pilot is told when it is started: a JSON file that only its owner may read."""

from __future__ import annotations

import json
import os
import stat
from dataclasses import asdict, dataclass
from pathlib import Path

from sodalyte.errors import ConfigurationError


@dataclass(frozen=True)
class Settings:
    """What a pilot has to know.

    Attributes
    ----------
    database
        Address of the database, with its password.
    root
        Folder of the runs.
    campaign
        Only its jobs; of all campaigns if it is empty.
    idle
        Seconds without work after which the pilot ends.
    minimum
        Seconds that have to be left for another job to begin.
    warning
        Seconds before the deadline at which jobs are asked to stop.
    kill
        Seconds before the deadline at which a job that did not stop is killed.
    heartbeat
        Seconds between two notes of a running job's progress, at which it is also learnt that the job was cancelled.
    answer
        Seconds in which the database has to answer a command.
    patience
        Seconds for which a database that is away is waited for.
    threads
        Of numerical libraries; what the environment says if it is None.
    """

    database: str
    root: Path
    campaign: str = ""
    idle: float = 60.0
    minimum: float = 60.0
    warning: float = 120.0
    kill: float = 15.0
    heartbeat: float = 15.0
    answer: float = 10.0
    patience: float = 600.0
    threads: int | None = None

    def write(self, path: Path) -> None:
        """Write the file with which a pilot is started; only its owner may read it."""
        document = {key: str(value) if key == "root" else value for key, value in asdict(self).items()}
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        with open(path, "x", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
            json.dump(document, file)

    @classmethod
    def read(cls, path: Path) -> Settings:
        """Read such a file; what else stands in it is passed over.

        Raises
        ------
        ConfigurationError
            It cannot be read, or others may read it.
        """
        try:
            mode = path.stat().st_mode
            document = json.loads(path.read_text())
            known = {key: document[key] for key in cls.__dataclass_fields__ if document.get(key) is not None}
            settings = cls(**known | {"root": Path(document["root"]), "database": document["database"]})
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ConfigurationError(f"the settings {path} of a pilot cannot be read: {type(error).__name__}") from None
        if mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise ConfigurationError(f"others may read the settings {path} of a pilot; run: chmod 600 {path}")
        return settings
