// A development chain of TON: the official executor (npm @ton/sandbox) behind the HTTP interface
// of toncenter, version 3. Only what chain_adapters/ton asks is there. With a data folder it comes
// back after a stop or a kill as its last block left it.
//
//   node ton_node.cjs --port 8081 [--data-dir folder] [--block-time-s 1]
//
// It makes a masterchain block when told to, or also every block-time-s. POST /dev/<name> drives it.
"use strict";

const { createHash } = require("node:crypto");
const http = require("node:http");
const path = require("node:path");
const { Address, Cell, beginCell } = require("@ton/core");
const { commentBody, mintBody, minter, transferBody } = require(path.join(__dirname, "ton_bank.cjs"));
const { Chain } = require(path.join(__dirname, "ton_chain.cjs"));
const { Refused, indexOf } = require(path.join(__dirname, "ton_index.cjs"));
const { raw } = require(path.join(__dirname, "ton_shapes.cjs"));

// The bank is no account of this chain: its money comes from nothing.
const BANK = new Address(0, createHash("sha256").update("bank").digest());

/** Returns the handlers that drive a chain. `broken` is the status by path to fail with. */
function driverOf(chain, broken) {
  async function issue({ symbol, supply }) {
    const { address, code, data } = minter(BANK, `${symbol} ${chain.lt}`, symbol);
    await chain.deploy(address, code, data, 10n ** 9n);
    chain.give(BANK, address, 10n ** 9n, mintBody(BANK, BigInt(supply)), true);
    return { address: raw(address) };
  }

  async function payToken({ contract, address, amount, comment, forward = "1" }) {
    const master = await chain.contract(Address.parse(contract));
    const slice = beginCell().storeAddress(BANK).endCell();
    const { stackReader } = await master.get("get_wallet_address", [{ type: "slice", cell: slice }]);
    const body = transferBody(Address.parse(address), BigInt(amount), comment, BigInt(forward));
    return chain.give(BANK, stackReader.readAddress(), 10n ** 8n, body, true);
  }

  return {
    "/dev/mine": async ({ blocks: count = 1 }) => {
      for (let i = 0; i < count; i++) await chain.mine();
      return { seqno: chain.blocks.length - 1 };
    },
    "/dev/pay": async ({ address, amount, comment, bounce = false, body, source }) =>
      chain.give(source ? Address.parse(source) : BANK, Address.parse(address), BigInt(amount),
        body ? Cell.fromBase64(body) : commentBody(comment), bounce),
    "/dev/issue": issue,
    "/dev/pay-token": payToken,
    "/dev/set-balance": async ({ address, amount }) => {
      await chain.setBalance(Address.parse(address), BigInt(amount));
      return {};
    },
    "/dev/deploy": async ({ address, code, data, balance = "1000000000" }) => {
      await chain.deploy(Address.parse(address), Cell.fromBase64(code), Cell.fromBase64(data),
        BigInt(balance));
      return {};
    },
    "/dev/drop-pool": async () => { chain.pool = []; return {}; },
    "/dev/shift-clock": async ({ seconds }) => { chain.clockShift += seconds; return {}; },
    "/dev/freeze-clock": async () => {
      chain.frozenAt = Math.floor(Date.now() / 1000);
      return {};
    },
    "/dev/hops": async ({ hops }) => { chain.hopsPerBlock = hops; return {}; },
    "/dev/break": async ({ path: where, status }) => {
      if (status) broken.set(where, status); else broken.clear();
      return {};
    },
  };
}

// One request at a time: the executor and the chain are shared.

let turn = Promise.resolve();

function serve(chain) {
  const broken = new Map();
  const { GET, POST } = indexOf(chain);
  const handlers = { GET, POST: { ...POST, ...driverOf(chain, broken) } };

  async function answer(request, body) {
    const url = new URL(request.url, "http://node");
    if (broken.has(url.pathname)) throw new Refused(broken.get(url.pathname), "told to fail");
    const isPost = request.method === "POST";
    const handler = handlers[isPost ? "POST" : "GET"][url.pathname];
    if (!handler) throw new Refused(404, "no such path");
    return handler(isPost ? JSON.parse(body) : url.searchParams);
  }

  return (request, response) => {
    const parts = [];
    request.on("data", (part) => parts.push(part));
    request.on("end", () => {
      turn = turn.then(async () => {
        let status = 200;
        let json;
        try {
          json = await answer(request, Buffer.concat(parts).toString());
        } catch (error) {
          status = error.status || 422;
          json = { error: error.message, code: status };
        }
        response.writeHead(status, { "content-type": "application/json" });
        response.end(JSON.stringify(json));
      });
    });
  };
}

async function main() {
  const options = Object.fromEntries(
    process.argv.slice(2).join(" ").split("--").filter(Boolean).map((o) => o.trim().split(" ")),
  );
  const folder = options["data-dir"];
  const chain = await Chain.open(folder ? path.join(folder, "blocks.jsonl") : null);
  // Nobody is cut off who was silent for a while: what was just sent would be lost or not.
  http.createServer({ keepAliveTimeout: 0 }, serve(chain))
    .listen(Number(options.port), "127.0.0.1");
  const every = Number(options["block-time-s"] || 0);
  if (every) setInterval(() => { turn = turn.then(() => chain.mine()); }, every * 1000);
}

main();
