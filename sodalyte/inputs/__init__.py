"""How it is computed: recipes and engines."""
