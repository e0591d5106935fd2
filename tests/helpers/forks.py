"""A function in a process of its own that starts at once: a fork of the tests', which has everything imported."""

import faulthandler
import os
import signal
import sys
import time
import traceback
import warnings


class Fork:
    """As much of ``subprocess.Popen`` as tests want, of ``function`` in ``folder`` with exactly ``environment``."""

    def __init__(self, function, *, folder, environment, out, error, new_session=False):
        self.returncode = None
        sys.stdout.flush()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # threads of a linear algebra library
            self.pid = os.fork()
        if self.pid == 0:
            if new_session:
                os.setsid()
            _run(function, folder, environment, out, error)

    def poll(self):
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def wait(self, timeout=60):
        deadline = time.monotonic() + timeout
        while self.poll() is None:
            if time.monotonic() > deadline:
                self.kill()
                raise TimeoutError(f"process {self.pid} still ran after {timeout} s")
            time.sleep(0.005)
        return self.returncode

    def send(self, number):
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self):
        self.send(signal.SIGTERM)

    def kill(self):
        self.send(signal.SIGKILL)


def _run(function, folder, environment, out, error):
    """Call the function and end the process, as an interpreter would: nothing may come back into the tests."""
    status = 1
    try:
        faulthandler.disable()
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(environment)
        os.dup2(out.fileno(), 1)
        os.dup2(error.fileno(), 2)
        sys.stdout, sys.stderr = (open(number, "w", 1, closefd=False) for number in (1, 2))  # noqa: SIM115
        try:
            function()
            status = 0
        except SystemExit as end:
            if isinstance(end.code, str):
                sys.stderr.write(f"{end.code}\n")
            else:
                status = end.code or 0
        sys.stdout.flush()
    except BaseException:  # noqa: BLE001
        status = 1
        traceback.print_exc()
    finally:
        os._exit(status)
