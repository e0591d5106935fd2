"""The space group of the input, and how it makes forces and stress symmetric."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from sodalyte.launchers.rehearsal.cell import Array, Cell


@dataclass(frozen=True)
class Symmetry:
    """Operations of a space group.

    Attributes
    ----------
    rotations
        In fractional coordinates, shape (n, 3, 3).
    images
        ``images[g, i]`` is the ion onto which operation g takes ion i, shape (n, n_ions).
    """

    rotations: Array
    images: Array

    @classmethod
    def find(cls, cell: Cell, symprec: float) -> Symmetry:
        """Find the space group within ``symprec`` (angstrom). Without one it is P1."""
        import spglib

        kinds = np.array([cell.symbols.index(symbol) for symbol in cell.species])
        found = spglib.get_symmetry((cell.lattice, cell.positions, kinds), symprec=symprec)
        rotations, translations = (
            (found["rotations"], found["translations"]) if found else (np.eye(3, dtype=int)[None], np.zeros((1, 3)))
        )
        images, kept = [], []
        for rotation, translation in zip(rotations, translations, strict=True):
            image = _image(cell, kinds, cell.positions @ rotation.T + translation)
            if len(np.unique(image)) == cell.n_ions:
                images.append(image)
                kept.append(rotation)
        return cls(np.array(kept, dtype=float), np.array(images))

    def forces(self, forces: Array, lattice: Array) -> Array:
        """Return symmetric forces."""
        total = np.zeros_like(forces)
        for rotation, image in zip(self._cartesian(lattice), self.images, strict=True):
            np.add.at(total, image, forces @ rotation.T)
        return total / len(self.rotations)

    def stress(self, stress: Array, lattice: Array) -> Array:
        """Return a symmetric stress tensor."""
        rotations = self._cartesian(lattice)
        symmetric: Array = np.mean(rotations @ stress @ rotations.transpose(0, 2, 1), axis=0)
        return symmetric

    def _cartesian(self, lattice: Array) -> Array:
        cartesian: Array = lattice.T @ self.rotations @ np.linalg.inv(lattice.T)
        return cartesian


def _image(cell: Cell, kinds: Array, moved: Array) -> Array:
    """Return the index of the ion of the same kind that is nearest to each moved position."""
    difference = cell.positions[None] - moved[:, None]
    distance = np.linalg.norm((difference - np.round(difference)) @ cell.lattice, axis=2)
    image: Array = np.where(kinds[None] == kinds[:, None], distance, np.inf).argmin(axis=1)
    return image
