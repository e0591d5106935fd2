from databases import address, database, mongodb_uri  # noqa: F401
