"""What a finished job left in its folder, and what custodian would have done in our place."""

import os
import warnings

from custodian import Custodian
from custodian.vasp.jobs import VaspJob
from custodian.vasp.validators import VasprunXMLValidator
from monty.io import zopen
from monty.os.path import zpath

from sodalyte.configuration import VASP_COMMAND


def text(path):
    """The text of a file that may have been compressed."""
    with zopen(zpath(str(path)), mode="rt", encoding="utf-8") as file:
        return file.read()


def custodian_alone(folder, handlers, **settings):
    """What ``run_vasp`` does with its defaults, faster polling apart."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        custodian = Custodian(
            handlers,
            [VaspJob([os.environ[VASP_COMMAND]], auto_gamma=False)],
            validators=[VasprunXMLValidator()],
            max_errors=5,
            directory=str(folder),
            **{"polling_time_step": 0.1, "monitor_freq": 5, **settings},
        )
        custodian.run()
