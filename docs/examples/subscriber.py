"""Receives webhooks: verifies the signature, drops repeats, answers at once."""

import os
import sys

from aiohttp import web
from standardwebhooks import Webhook, WebhookVerificationError

if len(sys.argv) != 2 or "WEBHOOK_SECRET" not in os.environ:
    sys.exit("usage: subscriber.py PORT, with WEBHOOK_SECRET in the environment")
webhook = Webhook(os.environ["WEBHOOK_SECRET"])  # as `millrace webhook add` printed it
seen: set[str] = set()  # in real life: a unique key in your database


async def take(request: web.Request) -> web.Response:
    """Answer 2xx only once the event is safe: anything else is delivered again."""
    try:
        event = webhook.verify(await request.read(), dict(request.headers))
    except WebhookVerificationError:
        return web.Response(status=401)
    if event["id"] not in seen:
        seen.add(event["id"])
        print(event["type"], event["data"], flush=True)  # noqa: T201
    return web.Response(status=204)


if __name__ == "__main__":
    app = web.Application()
    app.router.add_post("/webhooks", take)
    web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), print=None)
