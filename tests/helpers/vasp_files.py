"""What a job left in its folder, and what custodian and pymatgen make of it in our place."""

import os
import warnings

import numpy as np
from custodian import Custodian
from custodian.vasp.jobs import VaspJob
from custodian.vasp.validators import VasprunXMLValidator
from monty.io import zopen
from monty.os.path import zpath
from pymatgen.io.vasp.outputs import Vasprun

from sodalyte.configuration import VASP_COMMAND
from sodalyte.inputs.vasp.reading import read_dynamics


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


def check_against_pymatgen(path):
    """Compare what we read of a vasprun.xml with what pymatgen reads, number by number."""
    ours = read_dynamics(path, forces=True)
    theirs = Vasprun(path, parse_dos=False, parse_eigen=False, parse_potcar_file=False)
    steps = theirs.md_data or theirs.ionic_steps
    assert ours.n_steps == len(steps)
    assert ours.complete
    assert list(ours.header.numbers) == [site.specie.Z for site in theirs.initial_structure]
    for index, step in enumerate(steps):
        energy = step.get("energy", step)
        assert np.array_equal(ours.fractional[index], step["structure"].frac_coords)
        assert np.array_equal(ours.cells[index], step["structure"].lattice.matrix)
        assert np.array_equal(ours.forces[index], step["forces"])
        assert np.array_equal(ours.stress[index], step.get("stress", np.full((3, 3), np.nan)), equal_nan=True)
        assert ours.free_energies[index] == energy["e_fr_energy"]
        assert ours.e_0_energies[index] == energy["e_0_energy"]
        if "kinetic" in energy:
            assert ours.kinetic[index] == energy["kinetic"]
            assert ours.thermostat_potential[index] == energy["nosepot"]
            assert ours.thermostat_kinetic[index] == energy["nosekinetic"]
            assert ours.conserved[index] == energy["total"]
    counts = [len(step["electronic_steps"]) for step in theirs.ionic_steps]
    assert [count for count in ours.electronic_steps if count] == counts
