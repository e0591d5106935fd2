from mongodb_server import mongodb_uri  # noqa: F401
