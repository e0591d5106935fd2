"""custodian's handlers for our runs: what ends a run of VASP, what cures it, and what is beyond cure.

They replace the handlers that ship with custodian where those lose or falsify results: a warning that VASP survives is
none of our business, a run that was killed goes on from its last ionic step, dynamics whose electrons do not converge
is no dynamics, and no cure changes the level of theory.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from custodian.custodian import ErrorHandler, Validator
from custodian.vasp.handlers import VaspErrorHandler
from pymatgen.io.vasp.inputs import Incar

from sodalyte.inputs.vasp.causes import ending, final_cause, quote
from sodalyte.inputs.vasp.level import level_changes
from sodalyte.inputs.vasp.run_folder import electronic_steps

if TYPE_CHECKING:
    from sodalyte.inputs.vasp.supervision import Run

_SURVIVED = frozenset({"subspacematrix", "auto_nbands", "amin", "eddrmm", "elf_kpar", "elf_ncl"})
"""Messages of custodian's list after which VASP goes on; the end of the run tells whether it recovered."""

_INPUTS = ("INCAR", "KPOINTS", "POSCAR")

_MOVES_ATOMS = frozenset({"zpotrf", "triple_product"})
"""Messages for which custodian changes the crystal."""

_MAX_RESTARTS = 5
_MAX_IDLE_RESTARTS = 2
_ALGORITHMS = {"F": "Normal", "V": "Normal", "N": "All"}


class Watching(ErrorHandler):  # type: ignore[misc]
    """Base of our handlers: they share the run that they watch."""

    is_monitor = True

    def __init__(self, run: Run) -> None:
        self._run = run

    def as_dict(self) -> dict[str, Any]:
        """Return what custodian's log holds of a handler."""
        return {"@module": None, "@class": None, "name": type(self).__name__}  # not to be made again from this

    def _cured(self, problem: str, *actions: str) -> dict[str, Any]:
        self._run.handled = True
        self._run.folder.note_correction(problem, actions)
        return {"errors": [problem], "actions": list(actions)}

    def _hopeless(self, reason: str) -> dict[str, Any]:
        self._run.handled, self._run.reason = True, reason
        return {"errors": [reason], "actions": None}


class Deadline(Watching):
    """Asks VASP to stop after its present ionic step when time runs out, and ends it when it takes too long for that.

    It also keeps a copy of the last whole CONTCAR.
    """

    raises_runtime_error = False

    def check(self, directory: str = "./") -> bool:  # noqa: ARG002
        """Look at the clock; true only when VASP has to be ended now."""
        run = self._run
        if run.dynamics and not _unconverged(run):
            run.folder.bank()
        if run.should_stop() and not run.stop_asked:
            run.ask_to_stop()
        return run.stop_asked and run.out_of_time()

    def correct(self, directory: str = "./") -> dict[str, Any]:  # noqa: ARG002
        """Do nothing more: what VASP has written so far counts."""
        return {"errors": ["out of time"], "actions": None}


class Frozen(Watching):
    """Ends a run that has written nothing for too long; it goes on from its last ionic step.

    It counts for itself how long no file grew: clocks may be set, and a file server's differs from ours.
    """

    def __init__(self, run: Run) -> None:
        super().__init__(run)
        self._seen: list[float] = []
        self._since = time.monotonic()

    def check(self, directory: str = "./") -> bool:  # noqa: ARG002
        """Tell whether no output grew for ``Watch.frozen`` seconds."""
        run = self._run
        outputs = (run.path / name for name in ("OUTCAR", "OSZICAR", "vasp.out"))
        seen = [run.started, *(path.stat().st_size for path in outputs if path.exists())]
        if seen != self._seen:
            self._seen, self._since = seen, time.monotonic()
        return time.monotonic() - self._since > run.watch.frozen

    def correct(self, directory: str = "./") -> dict[str, Any]:  # noqa: ARG002
        """Start again; give up when it freezes without having done a step."""
        run = self._run
        problem = f"VASP hung: it wrote nothing for {run.watch.frozen:g} s"
        if not run.may_restart(_MAX_RESTARTS, _MAX_IDLE_RESTARTS):
            return self._hopeless(f"{problem}, {run.restarts} times")
        return self._cured(problem, "restart from the last ionic step")


class KnownMessages(Watching):
    """custodian's cures for VASP's messages, except those that would change the level of theory or the crystal."""

    def __init__(self, run: Run) -> None:
        super().__init__(run)
        known = [key for key in VaspErrorHandler.error_msgs if key not in _SURVIVED | _MOVES_ATOMS]
        self._fatal = VaspErrorHandler(errors_subset_to_catch=known)
        self._survived = VaspErrorHandler(errors_subset_to_catch=["eddrmm"])
        self._found = self._fatal

    def check(self, directory: str = "./") -> bool:
        """Look for messages in VASP's standard output; once it has ended in disorder, also for what it may survive."""
        if self._run.handled or self._run.stop_asked:
            return False
        for handler in (self._fatal, self._survived):
            if handler is self._survived and (self._run.is_running() or self._run.in_order()):
                return False
            if handler.check(directory):
                self._found = handler
                return True
        return False

    def correct(self, directory: str = "./") -> dict[str, Any]:
        """Apply custodian's cure, unless it changes what is computed."""
        path = self._run.path
        kept = {name: (path / name).read_bytes() for name in _INPUTS if (path / name).exists()}
        keys = sorted(self._found.errors)
        message = next(
            quote(path, text) for key in keys for text in VaspErrorHandler.error_msgs[key] if _said(path, text)
        )
        cure = self._found.correct(directory)
        (path / "POSCAR").write_bytes(kept["POSCAR"])  # the attempt's own start; from where to go on is not custodian's
        if changes := level_changes(path):
            for name, content in kept.items():
                (path / name).write_bytes(content)
            return self._hopeless(
                f"VASP says {message!r}, and the cure that is left changes the level of theory: {'; '.join(changes)}"
            )
        if not cure["actions"]:
            return self._hopeless(final_cause(path) or f"VASP says {message!r}, and no cure is left")
        return self._cured(message, *map(_in_words, cure["actions"]))


class ElectronsDiverge(Watching):
    """Ends dynamics as soon as the electrons of one step did not converge, and tries a safer algorithm.

    Nothing after such a step counts. In relaxations and statics only the last step has to converge.
    """

    def check(self, directory: str = "./") -> bool:  # noqa: ARG002
        """Tell whether a step that counts did not converge."""
        run = self._run
        if run.handled or (run.is_running() and not run.dynamics):
            return False
        if run.is_running():
            return bool(_unconverged(run))
        return run.unconverged_step() is not None

    def correct(self, directory: str = "./") -> dict[str, Any]:  # noqa: ARG002
        """Choose the next algorithm: Normal, then All."""
        run = self._run
        step = run.unconverged_step() or (_unconverged(run) or [0])[0] + 1
        run.discard_from(step)
        incar = Incar.from_file(run.path / "INCAR")
        present = str(incar.get("ALGO", "Normal"))
        problem = (
            f"the electrons did not converge in ionic step {run.steps_before + step} within "
            f"NELM = {incar.get('NELM', 60)} steps"
        )
        following = _ALGORITHMS.get(present[:1].upper())
        if following is None:
            return self._hopeless(f"{problem}, with ALGO = {present} neither")
        incar["ALGO"] = following
        incar.write_file(run.path / "INCAR")
        return self._cured(problem, f"ALGO = {following}")


class Unfinished(Watching):
    """Starts a run that ended before its output was complete again, from its last ionic step, a few times."""

    is_monitor = False

    def check(self, directory: str = "./") -> bool:  # noqa: ARG002
        """Tell whether VASP ended unasked before it was done."""
        run = self._run
        return not (run.handled or run.stop_asked or run.in_order())

    def correct(self, directory: str = "./") -> dict[str, Any]:  # noqa: ARG002
        """Start again where that can help."""
        run = self._run
        if cause := final_cause(run.path):
            return self._hopeless(cause)
        cause = ending(run.path, run.status())
        if not run.may_restart(_MAX_RESTARTS, _MAX_IDLE_RESTARTS):
            return self._hopeless(f"{cause}, {run.restarts} times")
        return self._cured(cause, "restart from the last ionic step")


class WholeOutput(Validator):  # type: ignore[misc]
    """Accepts a run that is complete, or that was stopped in order."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def as_dict(self) -> dict[str, Any]:
        """Return what custodian's log holds of a validator."""
        return {"@module": None, "@class": None, "name": type(self).__name__}  # not to be made again from this

    def check(self, directory: str = "./") -> bool:  # noqa: ARG002
        """Return True when the run is not to be used, as custodian wants it."""
        return not (self._run.in_order() or self._run.stop_asked)


def fresh_handlers(run: Run) -> list[ErrorHandler]:
    """Return handlers for one job; they count, so that no two jobs may share them."""
    return [Deadline(run), Frozen(run), KnownMessages(run), ElectronsDiverge(run), Unfinished(run)]


def _unconverged(run: Run) -> list[int]:
    """Return the ionic steps, from zero, whose electronic steps reached NELM, of a running VASP."""
    limit = run.max_electronic_steps
    return [step for step, count in enumerate(electronic_steps(run.path / "OSZICAR")) if count >= limit]


def _in_words(action: Any) -> str:
    """Return what an action of custodian's does; one that is not known as custodian writes it."""
    match action:
        case {"dict": _, "action": {"_set": tags}}:
            return ", ".join(f"{tag} = {value}" for tag, value in tags.items())
        case {"dict": name, "action": {"_unset": tags}}:
            return f"{', '.join(tags)} removed from {name}"
        case {"file": name, "action": {"_file_copy": {"dest": copy}}}:
            return f"{name} copied to {copy}"
        case {"file": name, "action": {"_file_delete": _}}:
            return f"{name} deleted"
    return str(action)


def _said(path: Any, text: str) -> bool:
    return text in (path / "vasp.out").read_text(errors="replace")
