"""Alembic's entry: migrate over the connection that ``sdp.store.migrate`` brings.

The whole migration is one transaction, begun by the caller, so a kill leaves the old schema.
"""

from alembic import context
from sqlalchemy import Connection

from sdp.store.tables import metadata

connection = context.config.attributes["connection"]
if not isinstance(connection, Connection):
    raise TypeError("migrations run through sdp.store.migrate")
context.configure(connection=connection, target_metadata=metadata, transactional_ddl=True)
context.run_migrations()
