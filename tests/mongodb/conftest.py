from mongodb_server import mongodb_uri, restartable_mongodb  # noqa: F401
