import sys

import pytest
from databases import address, database, mongodb_uri  # noqa: F401
from mongodb_server import restartable_mongodb  # noqa: F401

from sodalyte import cli


@pytest.fixture
def sodalyte(capsys, monkeypatch, tmp_path):
    """Run the command line in an empty folder; return exit status, standard output and standard error."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["sodalyte", *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            cli.main()
        streams = capsys.readouterr()
        return caught.value.code, streams.out, streams.err

    return run
