from databases import address, database, mongodb_uri  # noqa: F401
from mongodb_server import restartable_mongodb  # noqa: F401
