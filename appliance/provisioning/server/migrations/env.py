"""Entry point for alembic: the connection, and with it the transaction, are `migrate`'s."""

from alembic import context

from appliance.provisioning.server.schema import METADATA

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    transactional_ddl=True,
    render_as_batch=True,
)
context.run_migrations()
