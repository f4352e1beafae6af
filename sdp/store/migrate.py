"""Brings a database's schema to today's, inside the caller's transaction."""

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from sdp.reconciler.journal import StoreUnavailable


def migrate(connection: Connection) -> None:
    """Run the steps that this database has not seen.

    Raises:
        StoreUnavailable: A newer version of this program made the database.
    """
    config = Config()
    config.set_main_option("script_location", "sdp.store:migrations")
    config.set_main_option("path_separator", "os")
    scripts = ScriptDirectory.from_config(config)
    current = MigrationContext.configure(connection).get_current_revision()
    if current == scripts.get_current_head():
        return
    if current not in {None, *(script.revision for script in scripts.walk_revisions())}:
        raise StoreUnavailable(
            f"The database has schema {current}, which this version does not know.",
            "Run the newer version of sdp again, or move sdp.db out of the data folder.",
        )
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
