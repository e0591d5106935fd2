"""What calculations mean: pure functions on plain arrays and pymatgen objects."""
