"""deliveries → webhooks: runs the deliverer inside a worker."""

from __future__ import annotations

from collections.abc import Sequence

from agents.runtime.context import Context
from agents.runtime.stage import Work
from agents.runtime.transact import write_outbox
from custody.box import SecretBox
from custody.hide import forget_variable
from notifications.deliver import Deliverer
from notifications.guard import open_session
from notifications.signing import Signer
from sql.pool import Connection
from topics.events import Event, emit_events


class DeliverWebhooks:
    """Delivers on every notify worker at once; claims in Postgres keep them apart."""

    def __init__(self, context: Context) -> None:
        """Take the key out of the settings, and forget it in the environment."""
        forget_variable("MILLRACE_WEBHOOK_ENC_KEY")
        self._context = context
        if context.settings.webhook_enc_key is None:
            raise ValueError("MILLRACE_WEBHOOK_ENC_KEY is not set: it unlocks webhook secrets")
        self._box = SecretBox(context.settings.webhook_enc_key.get_secret_value())

    async def run(self) -> None:
        """Deliver until cancelled."""
        settings = self._context.settings
        session = open_session(
            timeout_s=settings.webhook_timeout_s, allow_private=settings.webhook_allow_private
        )
        async with session:
            await Deliverer(
                self._context.pool,
                session,
                Signer(self._box),
                emit=self._emit,
                allow_private=settings.webhook_allow_private,
            ).run()

    async def _emit(self, conn: Connection, events: Sequence[Event]) -> None:
        work = Work(conn)
        emit_events(work, events)
        await write_outbox(work, self._context.settings.topic_prefix)
