"""What commands show of the records: the log of webhooks, the postings of an account."""

from __future__ import annotations

import pytest

from ledger.entries import Outcome
from ledger.post import post
from ledger.rules import deposit_credited
from sql.pool import Pool
from tests.support.command_line import CommandLine
from tests.support.webhooks import (
    answer_with,
    attempted,
    deliver,
    make_event,
    receive,
    register,
    settled,
    store_event,
)

ACME = ("--tenant", "acme")


@pytest.fixture(scope="module")
def millrace(database_url: str) -> CommandLine:
    return CommandLine({"MILLRACE_CONFIG": "", "MILLRACE_DATABASE_URL": database_url})


async def test_the_log_of_webhooks_shows_what_each_receiver_answered(
    millrace: CommandLine, pool: Pool
) -> None:
    async with receive() as well, receive(answer_with(500, text="no room")) as unwell:
        acme = await register(pool, "acme", well.url)
        globex = await register(pool, "globex", unwell.url)
        events = [make_event("acme", number) for number in range(3)]
        await store_event(pool, *events, make_event("globex"))
        async with deliver(pool):
            await settled(pool, "acme", "delivered", 3)
            failed = await attempted(pool, "globex")

    rows = await millrace.json("webhook", "deliveries", *ACME)
    ids = [row["delivery_id"] for row in rows]
    assert ids == sorted(ids, reverse=True)
    assert {row["event_id"] for row in rows} == {event.id for event in events}
    assert {(row["state"], row["endpoint_id"]) for row in rows} == {("delivered", acme.endpoint_id)}

    async def listed(*options: str) -> list[int]:
        found = await millrace.json("webhook", "deliveries", *ACME, *options)
        return [row["delivery_id"] for row in found]

    assert await listed("--limit", "2") == ids[:2]
    assert await listed("--before", str(ids[1])) == ids[2:]
    assert await listed("--state", "pending") == []
    assert await listed("--event", rows[0]["event_id"]) == ids[:1]
    assert await listed("--endpoint", globex.endpoint_id) == []
    odd = await millrace.run("webhook", "deliveries", *ACME, "--state", "lost")
    assert (odd.exit_code, "'lost' is no state" in odd.stderr) == (2, True)

    (well_log,) = await millrace.json("webhook", "attempts", str(ids[0]), *ACME)
    assert (well_log["attempt"], well_log["status"], well_log["error"]) == (1, 204, None)
    asked = ("webhook", "attempts", str(failed.delivery_id), "--tenant")
    (unwell_log,) = await millrace.json(*asked, "globex")
    assert (unwell_log["status"], unwell_log["error"]) == (500, "HTTP 500")
    assert unwell_log["response"] == "no room"
    assert await millrace.json(*asked, "acme") == []


async def test_a_statement_tells_how_a_balance_came_about(
    millrace: CommandLine, pool: Pool
) -> None:
    await pool.execute(
        """
        INSERT INTO tenants (tenant, name) VALUES ('acme', 'acme') ON CONFLICT DO NOTHING;
        INSERT INTO networks (network, kind, native_asset, confirmations)
        VALUES ('eip155:1', 'ethereum', 'ETH', 1);
        INSERT INTO assets (asset, network, decimals) VALUES ('ETH', 'eip155:1', 18);
        """
    )
    for deposit_id, amount_minor in ((1, 2 * 10**18), (2, 5 * 10**17)):
        entry = deposit_credited(
            "acme", "alice", "ETH", amount_minor, deposit_id=deposit_id, revision=0
        )
        async with pool.acquire() as conn, conn.transaction():
            (result,) = await post(conn, [entry])
        assert result.outcome is Outcome.POSTED
    alice = (*ACME, "--owner", "alice", "--asset", "ETH")

    later, earlier = await millrace.json("statement", *alice)
    assert (earlier["amount_minor"], earlier["balance_after_minor"]) == (str(2 * 10**18),) * 2
    assert later["balance_after_minor"] == str(25 * 10**17)
    assert (later["side"], later["kind"], later["reference_id"]) == ("credit", "DEPOSIT", "2")
    before = await millrace.json("statement", *alice, "--before", str(later["entry_id"]))
    assert before == [earlier]
    assert await millrace.json("statement", *alice, "--limit", "1") == [later]
    table = await millrace.run("statement", *alice)
    assert "2.5" in table.stdout

    wallets = await millrace.json(
        "statement", *ACME, "--asset", "ETH", "--bucket", "deposit_wallets"
    )
    assert [row["side"] for row in wallets] == ["debit", "debit"]


@pytest.mark.parametrize(
    ("options", "status", "words"),
    [
        (["--asset", "ETH"], 2, "every user has a 'available': say --owner"),
        (["--asset", "ETH", "--owner", "a", "--bucket", "capital"], 2, "leave --owner out"),
        (["--asset", "ETH", "--owner", "a", "--bucket", "purse"], 2, "no bucket"),
        (["--asset", "EHT", "--owner", "a"], 1, "no asset 'EHT'"),
    ],
)
async def test_a_statement_of_what_is_no_account_is_told_so(
    millrace: CommandLine, pool: Pool, options: list[str], status: int, words: str
) -> None:
    await pool.execute("INSERT INTO tenants VALUES ('acme', 'acme') ON CONFLICT DO NOTHING")
    result = await millrace.run("statement", *ACME, *options)
    assert (result.exit_code, words in result.stderr) == (status, True), result.output
