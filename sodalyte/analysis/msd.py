"""Mean squared displacement of ions, over every lag and every time origin, with the drift of the framework removed."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.fft import irfft, next_fast_len, rfft

from sodalyte.errors import CalculationError, UsageError

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]

IONS_AT_ONCE = 4
FRAMES_AT_ONCE = 500
"""How much of a trajectory is held in double precision at once: memory stays near that of the trajectory."""


def ion_indices(selection: ArrayLike, n_atoms: int, *, name: str) -> Indices:
    """Turn a boolean mask or a list of indices into indices.

    Parameters
    ----------
    selection
        Mask of shape (n_atoms,), or distinct indices.
    n_atoms
        Number of atoms in the trajectory.
    name
        What the selection is called in the error.

    Raises
    ------
    UsageError
        The selection is empty, repeats an atom or names one that the trajectory does not have.
    """
    chosen = np.asarray(selection)
    if chosen.dtype == bool and chosen.shape == (n_atoms,):
        chosen = np.flatnonzero(chosen)
    valid = chosen.ndim == 1 and chosen.size > 0 and np.issubdtype(chosen.dtype, np.integer)
    if not valid or chosen.min() < 0 or chosen.max() >= n_atoms or np.unique(chosen).size != chosen.size:
        raise UsageError(
            f"{name}: give a mask of {n_atoms} atoms or a non-empty list of distinct indices below {n_atoms}"
        )
    return chosen.astype(np.intp)


def checked_positions(positions: ArrayLike, *, largest_step: float) -> NDArray[np.floating]:
    """Return ``positions`` as an array after checking that they can be a molecular-dynamics trajectory.

    Parameters
    ----------
    positions
        Unwrapped Cartesian positions, angstrom, shape (n_frames, n_atoms, 3).
    largest_step
        Displacement between neighbouring frames, angstrom, that no ion can make.

    Raises
    ------
    UsageError
        The shape is wrong, or an ion moves further than ``largest_step`` between two frames, as wrapped positions do.
    CalculationError
        A position is not a finite number.
    """
    array = np.asarray(positions)
    if array.ndim != 3 or array.shape[2] != 3 or array.shape[0] < 2:
        raise UsageError(f"positions have shape {array.shape}; give (n_frames, n_atoms, 3) with two frames or more")
    if not np.issubdtype(array.dtype, np.floating):
        array = array.astype(np.float64)
    for ion in range(array.shape[1]):
        if not np.isfinite(array[:, ion]).all():
            raise CalculationError(f"atom {ion} has a position that is not finite; the dynamics run is broken")
        step = float(np.abs(np.diff(array[:, ion], axis=0)).max())
        if step > largest_step:
            raise UsageError(
                f"atom {ion} moves {step:.1f} angstrom between two frames (at most {largest_step:.1f} is possible); "
                "give unwrapped positions, stored more often"
            )
    return array


def framework_drift(positions: NDArray[np.floating], framework: Indices) -> Floats:
    """Mean position of the framework ions in every frame.

    The unweighted mean is what pymatgen's ``DiffusionAnalyzer`` and kinisi subtract. For a framework that only
    vibrates it differs from the centre of mass by a bounded vibration, which no diffusivity sees.

    Parameters
    ----------
    positions
        Angstrom, shape (n_frames, n_atoms, 3).
    framework
        Indices of the ions that do not diffuse.

    Returns
    -------
    ndarray of shape (n_frames, 3), angstrom.
    """
    return _summed(positions, framework) / len(framework)


def mean_squared_displacement(positions: NDArray[np.floating], ions: Indices, *, drift: Floats | None = None) -> Floats:
    """Mean squared displacement along x, y and z for every lag, averaged over ions and time origins.

    The sum over origins splits into a running sum and an autocorrelation, and the autocorrelation is a product in
    Fourier space (V. Calandrini et al., Collection SFN 12, 201 (2011), 10.1051/sfn/201112010), so that all lags
    together cost O(N log N). The power spectra of the ions are summed before the one transform back.

    Parameters
    ----------
    positions
        Unwrapped, angstrom, shape (n_frames, n_atoms, 3); read ``IONS_AT_ONCE`` ions at a time, never copied whole.
    ions
        Indices of the ions to average over.
    drift
        Angstrom, shape (n_frames, 3), subtracted from every position.

    Returns
    -------
    ndarray of shape (n_frames, 3), angstrom^2: row ``k`` belongs to a lag of ``k`` frames. The three columns add up
    to the mean squared displacement.
    """
    n_frames = len(positions)
    power = np.zeros((3, _padded(n_frames) // 2 + 1))
    squares = np.zeros((3, n_frames))
    for first in range(0, len(ions), IONS_AT_ONCE):
        block = positions[:, ions[first : first + IONS_AT_ONCE]]
        series = np.moveaxis(block, 0, -1).astype(np.float64, order="C")
        if drift is not None:
            series -= drift.T
        _add_spectra(series, power, squares)
    return _squared_displacement(power, squares) / len(ions)


def collective_squared_displacement(
    positions: NDArray[np.floating], ions: Indices, *, drift: Floats | None = None
) -> Floats:
    """Squared displacement of the sum of all ions, per ion: what the charge diffusivity rests on.

    Parameters
    ----------
    positions, ions, drift
        As in :func:`mean_squared_displacement`.

    Returns
    -------
    ndarray of shape (n_frames, 3), angstrom^2: x, y and z for every lag. Equal to the mean squared displacement
    when the ions move independently.
    """
    series = _summed(positions, ions)
    if drift is not None:
        series -= len(ions) * drift
    power = np.zeros((3, _padded(len(series)) // 2 + 1))
    squares = np.zeros((3, len(series)))
    _add_spectra(series.T[None], power, squares)
    return _squared_displacement(power, squares) / len(ions)


def log_spaced_lags(first: int, last: int, number: int) -> Indices:
    """At most ``number`` distinct lags from ``first`` to ``last`` frames, both included, even in the logarithm."""
    return np.unique(np.geomspace(first, last, number).round().astype(np.intp))


def _summed(positions: NDArray[np.floating], ions: Indices) -> Floats:
    """Sum of the positions of ``ions`` in double precision, (n_frames, 3), some frames at a time."""
    n_frames, n_atoms, _ = positions.shape
    chosen = np.zeros((n_atoms, 1))
    chosen[ions] = 1.0
    adder = np.kron(chosen, np.eye(3))
    summed = np.empty((n_frames, 3))
    for first in range(0, n_frames, FRAMES_AT_ONCE):
        frames = positions[first : first + FRAMES_AT_ONCE].astype(np.float64)
        summed[first : first + FRAMES_AT_ONCE] = frames.reshape(len(frames), -1) @ adder
    return summed


def _padded(n_frames: int) -> int:
    """Length of the transforms: at least twice the run, so that the correlation does not wrap around; always even."""
    return 2 * int(next_fast_len(n_frames, real=True))


def _add_spectra(series: Floats, power: Floats, squares: Floats) -> None:
    """Add the power spectra (3, n_frequencies) and squared positions (3, n_frames) of ions (n_ions, 3, n_frames)."""
    centred = series - series.mean(axis=-1, keepdims=True)
    for ion in centred:
        spectrum = rfft(ion, n=_padded(ion.shape[-1]), axis=-1)
        power += spectrum.real**2 + spectrum.imag**2
        squares += ion**2


def _squared_displacement(power: Floats, squares: Floats) -> Floats:
    """Squared displacement at all lags, (n_frames, 3), from power spectra and squared positions summed over ions."""
    n_frames = squares.shape[1]
    autocorrelation = irfft(power, n=_padded(n_frames), axis=-1)[:, :n_frames]
    running = np.zeros((3, n_frames + 1))
    np.cumsum(squares, axis=-1, out=running[:, 1:])
    lags = np.arange(n_frames)
    ends = running[:, n_frames - lags] + running[:, -1:] - running[:, lags]
    squared: Floats = ((ends - 2 * autocorrelation) / (n_frames - lags)).T
    squared[0] = 0.0
    return squared
