from databases import address, mongodb_uri  # noqa: F401
