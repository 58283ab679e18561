// A development chain of TON: the official executor (npm @ton/sandbox) behind the HTTP interface
// of toncenter, version 3. Only what chain_adapters/ton asks is there. With a data folder it comes
// back after a stop or a kill as its last block left it.
//
//   node ton_node.cjs --port 8081 [--data-dir folder] [--block-time-s 1]
//
// It has one shard of the basechain, makes a masterchain block when told (or every block-time-s),
// and never reorganises. A message is carried from account to account within the block, at most
// hops-per-block times; what is left waits for the next. POST /dev/<name> drives it.
"use strict";

const { createHash } = require("node:crypto");
const fs = require("node:fs");
const http = require("node:http");
const path = require("node:path");
const { Address, Cell, beginCell, loadMessage, loadShardAccount,
  storeShardAccount } = require("@ton/core");
const { Blockchain, createShardAccount } = require("@ton/sandbox");
const { commentBody, mintBody, minter, transferBody } = require(path.join(__dirname, "ton_bank.cjs"));
const { SHARD, STATUS, base64, blockJson, messageCell, messageCells, messageJson, normalisedHash,
  phasesJson, raw, stackItem, stackJson, stateJson } = require(path.join(__dirname, "ton_shapes.cjs"));

const BANK = new Address(0, createHash("sha256").update("bank").digest());

const options = Object.fromEntries(
  process.argv.slice(2).join(" ").split("--").filter(Boolean).map((o) => o.trim().split(" ")),
);
const logPath = options["data-dir"] ? path.join(options["data-dir"], "blocks.jsonl") : null;

const blocks = []; // by seqno
const byHash = new Map();
const byMessage = new Map(); // hash, and for external ones the normalised hash → transaction
let pool = []; // external messages that wait: {message, id}
let queue = []; // internal messages that wait: {message, trace, hop}
let touched = new Set(); // accounts that changed since the last block, raw
let blockchain;
let lt = 1000000n;
let clockShift = 0;
let frozenAt = null; // where the clock stands still, so that storage costs nothing between blocks
let hopsPerBlock = 100;
let broken = {}; // path → status with which it answers

const seconds = () => (frozenAt ?? Math.floor(Date.now() / 1000)) + clockShift;

class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

function record(block, tx, before, after, trace) {
  const cells = messageCells(tx);
  const hash = base64(tx.hash());
  const json = {
    account: "0:" + tx.address.toString(16).padStart(64, "0").toUpperCase(),
    hash, lt: tx.lt.toString(), now: tx.now, mc_block_seqno: block.seqno,
    trace_id: trace || hash,
    prev_trans_hash: base64(Buffer.from(tx.prevTransactionHash.toString(16).padStart(64, "0"), "hex")),
    prev_trans_lt: tx.prevTransactionLt.toString(),
    orig_status: STATUS[tx.oldStatus], end_status: STATUS[tx.endStatus],
    total_fees: tx.totalFees.coins.toString(), total_fees_extra_currencies: {},
    description: phasesJson(tx.description),
    block_ref: { workchain: 0, shard: SHARD, seqno: 0 },
    in_msg: cells.inMessage ? messageJson(cells.inMessage) : null,
    out_msgs: cells.out.map(messageJson),
    account_state_before: stateJson(before), account_state_after: stateJson(after),
    emulated: false,
  };
  block.transactions.push(json);
  remember(json);
  for (const cell of cells.out) {
    const message = loadMessage(cell.beginParse());
    if (message.info.type === "internal") {
      queue.push({ message, trace: json.trace_id, hop: block.hop + 1 });
    }
  }
}

function remember(json) {
  byHash.set(json.hash, json);
  if (json.in_msg) {
    byMessage.set(json.in_msg.hash, json);
    if (json.in_msg.hash_norm) byMessage.set(json.in_msg.hash_norm, json);
  }
}

async function execute(block, address, message, trace) {
  const contract = await blockchain.getContract(address);
  const before = contract.account;
  touched.add(raw(address));
  lt += 1000n;
  blockchain.currentLt = lt;
  const tx = await contract.receiveMessage(message, { now: block.now });
  record(block, tx, before, contract.account, trace);
  return tx;
}

async function tryExternal(message, now) {
  const contract = await blockchain.getContract(message.info.dest);
  const saved = contract.snapshot();
  const savedLt = blockchain.currentLt;
  try {
    blockchain.currentLt = lt + 1n;
    await contract.receiveMessage(message, { now });
    return null;
  } catch (error) {
    return error;
  } finally {
    contract.loadFrom(saved);
    blockchain.currentLt = savedLt;
  }
}

async function mineOne() {
  const parent = blocks[blocks.length - 1];
  const now = Math.max(seconds(), parent ? parent.now : 0);
  const block = { seqno: blocks.length, now, transactions: [], hop: 0, startLt: lt };
  const taken = pool;
  pool = [];
  for (const { message } of taken) {
    try {
      await execute(block, message.info.dest, message, null);
    } catch {
      // Not accepted any more: another one with its seqno came first, or it expired. It is gone.
    }
  }
  for (const item of queue) item.hop = Math.min(item.hop, 1);
  while (queue.length && queue[0].hop <= hopsPerBlock) {
    const { message, trace, hop } = queue.shift();
    block.hop = hop;
    await execute(block, message.info.dest, message, trace);
  }
  seal(block, parent);
  await store(block);
}

/** Writes a block with the accounts that it changed: a line each, so that a kill loses none. */
async function store(block) {
  if (!logPath) return;
  const accounts = await Promise.all([...touched].map(async (address) => {
    const { account } = await blockchain.getContract(Address.parse(address));
    return [address, base64(beginCell().store(storeShardAccount(account)).endCell().toBoc())];
  }));
  touched = new Set();
  const waiting = queue.map((q) => ({ ...q, message: base64(messageCell(q.message).toBoc()) }));
  const line = { ...block, startLt: String(block.startLt), lt: String(lt), waiting, accounts };
  fs.appendFileSync(logPath, JSON.stringify(line) + "\n");
}

async function restore() {
  if (!logPath || !fs.existsSync(logPath)) return;
  for (const text of fs.readFileSync(logPath, "utf8").split("\n").filter(Boolean)) {
    const { accounts, waiting, lt: last, ...block } = JSON.parse(text);
    blocks.push(block);
    block.transactions.forEach(remember);
    for (const [address, boc] of accounts) {
      const account = loadShardAccount(Cell.fromBase64(boc).beginParse());
      await blockchain.setShardAccount(Address.parse(address), account);
    }
    lt = BigInt(last);
    queue = waiting.map((q) => (
      { ...q, message: loadMessage(Cell.fromBase64(q.message).beginParse()) }));
  }
}

/** Gives a block its shard blocks (two if it has several transactions) and its hashes. */
function seal(block, parent) {
  lt += 1000n;
  const sum = (...parts) => createHash("sha256").update(JSON.stringify(parts)).digest();
  const hashes = block.transactions.map((t) => t.hash);
  const cut = hashes.length > 1 ? Math.ceil(hashes.length / 2) : hashes.length;
  block.shards = [[0, cut], [cut, hashes.length]].slice(0, hashes.length > 1 ? 2 : 1)
    .map(([from, to], i) => {
      const seqno = (parent ? parent.shardSeqno : 0) + i + 1;
      for (const t of block.transactions.slice(from, to)) t.block_ref.seqno = seqno;
      return blockJson(block, lt, 0, seqno, sum("shard", seqno, hashes.slice(from, to)), to - from);
    });
  block.shardSeqno = block.shards[block.shards.length - 1].seqno;
  const root = sum("master", block.seqno, parent ? parent.json.root_hash : "", block.shards);
  block.json = blockJson(block, lt, -1, block.seqno, root, 0);
  blocks.push(block);
}

// Reading: the paths of toncenter.

const page = (list, q) => {
  const from = Number(q.get("offset") || 0);
  return list.slice(from, from + Math.min(Number(q.get("limit") || 10), 1000));
};

const withSeqno = (q) => {
  const block = blocks[Number(q.get("seqno"))];
  if (!block) throw new Refused(404, "block not found");
  return block;
};

async function accountJson(text) {
  const address = Address.parse(text);
  const account = (await blockchain.getContract(address)).account;
  const state = stateJson(account);
  return { address: raw(address), balance: state.balance, status: state.account_status,
    code_hash: state.code_hash, data_hash: state.data_hash, account_state_hash: state.hash };
}

async function walletJson(text) {
  const { address, balance, status, code_hash: codeHash } = await accountJson(text);
  const state = { address, balance, status, code_hash: codeHash, is_wallet: false };
  if (status !== "active") return state;
  const { exit_code: exit, stack } = await runGetMethod({ address: text, method: "seqno" });
  return exit === 0 ? { ...state, is_wallet: true, seqno: Number(stack[0].value) } : state;
}

async function runGetMethod(body) {
  const contract = await blockchain.getContract(Address.parse(body.address));
  try {
    const answer = await contract.get(body.method, (body.stack || []).map(stackItem));
    return { gas_used: Number(answer.gasUsed), exit_code: answer.exitCode,
      stack: answer.stack.map(stackJson) };
  } catch (error) {
    return { gas_used: 0, exit_code: error.exitCode ?? -13, stack: [] };
  }
}

async function jettonWallets(q) {
  const found = [];
  for (const master of q.getAll("jetton_address").flatMap((t) => t.split(","))) {
    for (const owner of q.getAll("owner_address").flatMap((t) => t.split(","))) {
      const slice = beginCell().storeAddress(Address.parse(owner)).endCell();
      const contract = await blockchain.getContract(Address.parse(master));
      const { stackReader } = await contract.get("get_wallet_address", [{ type: "slice", cell: slice }]);
      const wallet = await blockchain.getContract(stackReader.readAddress());
      if (wallet.accountState?.type !== "active") continue;
      const data = (await wallet.get("get_wallet_data")).stackReader;
      found.push({ address: raw(wallet.address), balance: data.readBigNumber().toString(),
        owner: raw(Address.parse(owner)), jetton: raw(Address.parse(master)) });
    }
  }
  return { jetton_wallets: page(found, q) };
}

async function estimateFee(body) {
  const address = Address.parse(body.address);
  const init = body.init_code
    ? { code: Cell.fromBase64(body.init_code), data: Cell.fromBase64(body.init_data) } : undefined;
  const message = { info: { type: "external-in", dest: address, importFee: 0n }, init,
    body: Cell.fromBase64(body.body) };
  const contract = await blockchain.getContract(address);
  const saved = contract.snapshot();
  try {
    blockchain.currentLt = lt + 1n;
    const tx = await contract.receiveMessage(message, { now: seconds(), ignoreChksig: true });
    const forward = [...tx.outMessages.values()].reduce(
      (s, m) => s + (m.info.type === "internal" ? m.info.forwardFee : 0n), 0n);
    const gas = tx.description.computePhase.gasFees ?? 0n;
    const storage = tx.description.storagePhase?.storageFeesCollected ?? 0n;
    const action = tx.description.actionPhase?.totalActionFees ?? 0n;
    return { source_fees: { in_fwd_fee: Number(tx.totalFees.coins - gas - storage - action),
      storage_fee: Number(storage), gas_fee: Number(gas), fwd_fee: Number(forward + action) },
      destination_fees: [] };
  } catch (error) {
    throw new Refused(500, `cannot estimate: ${error.message}`);
  } finally {
    contract.loadFrom(saved);
  }
}

async function send(body) {
  const cell = Cell.fromBase64(body.boc);
  const message = loadMessage(cell.beginParse());
  const id = normalisedHash(message).toString("base64");
  if (!pool.some((other) => other.id === id)) {
    const error = await tryExternal(message, seconds());
    if (error) {
      const code = error.exitCode === undefined ? "" : ` : exitcode=${error.exitCode}, steps=22`;
      throw new Refused(500, "LITE_SERVER_UNKNOWN: cannot apply external message to current state "
        + `: External message was not accepted${code}`);
    }
    pool.push({ message, id });
  }
  return { message_hash: base64(cell.hash()), message_hash_norm: id };
}

const GET = {
  "/api/v3/masterchainInfo": async () => ({
    first: blocks[0].json, last: blocks[blocks.length - 1].json }),
  "/api/v3/blocks": async (q) => {
    const block = blocks[Number(q.get("seqno"))];
    return { blocks: q.get("workchain") === "-1" && block ? [block.json] : [] };
  },
  "/api/v3/masterchainBlockShards": async (q) => {
    const block = withSeqno(q);
    return { blocks: page([block.json, ...block.shards], q) };
  },
  "/api/v3/masterchainBlockShardState": async (q) => {
    const block = withSeqno(q);
    return { blocks: [block.json, block.shards[block.shards.length - 1]] };
  },
  "/api/v3/transactionsByMasterchainBlock": async (q) => ({
    transactions: page(withSeqno(q).transactions, q), address_book: {} }),
  "/api/v3/transactions": async (q) => ({
    transactions: [byHash.get(q.get("hash"))].filter(Boolean), address_book: {} }),
  "/api/v3/transactionsByMessage": async (q) => ({
    transactions: [byMessage.get(q.get("msg_hash"))].filter(Boolean), address_book: {} }),
  "/api/v3/accountStates": async (q) => ({
    accounts: await Promise.all(q.getAll("address").flatMap((t) => t.split(",")).map(accountJson)) }),
  "/api/v3/walletStates": async (q) => ({
    wallets: await Promise.all(q.getAll("address").flatMap((t) => t.split(",")).map(walletJson)) }),
  "/api/v3/jetton/wallets": jettonWallets,
};

const POST = {
  "/api/v3/message": send,
  "/api/v3/runGetMethod": runGetMethod,
  "/api/v3/estimateFee": estimateFee,
  // Driving the chain.
  "/dev/mine": async ({ blocks: count = 1 }) => {
    for (let i = 0; i < count; i++) await mineOne();
    return { seqno: blocks.length - 1 };
  },
  "/dev/pay": async ({ address, amount, comment, bounce = false, body, source }) =>
    give(Address.parse(address), BigInt(amount),
      body ? Cell.fromBase64(body) : commentBody(comment), bounce,
      source ? Address.parse(source) : BANK),
  "/dev/issue": issue,
  "/dev/pay-token": payToken,
  "/dev/set-balance": async ({ address, amount }) => {
    (await blockchain.getContract(Address.parse(address))).balance = BigInt(amount);
    touched.add(raw(Address.parse(address)));
    return {};
  },
  "/dev/deploy": async ({ address, code, data, balance = "1000000000" }) => {
    await blockchain.setShardAccount(Address.parse(address), createShardAccount({
      address: Address.parse(address), code: Cell.fromBase64(code), data: Cell.fromBase64(data),
      balance: BigInt(balance) }));
    touched.add(raw(Address.parse(address)));
    return {};
  },
  "/dev/drop-pool": async () => { pool = []; return {}; },
  "/dev/shift-clock": async ({ seconds: by }) => { clockShift += by; return {}; },
  "/dev/freeze-clock": async () => { frozenAt = Math.floor(Date.now() / 1000); return {}; },
  "/dev/hops": async ({ hops }) => { hopsPerBlock = hops; return {}; },
  "/dev/break": async ({ path: where, status }) => {
    if (status) broken[where] = status; else broken = {};
    return {};
  },
};

// Money from nothing: messages whose sender is the bank, which is no account of this chain.

function give(dest, coins, body, bounce, src = BANK) {
  lt += 10n;
  const message = { info: { type: "internal", ihrDisabled: true, bounce, bounced: false, src, dest,
    value: { coins }, ihrFee: 0n, forwardFee: 0n, createdLt: lt, createdAt: seconds() }, body };
  queue.push({ message, trace: null, hop: 1 });
  return { message_hash: base64(messageCell(message).hash()) };
}

async function issue({ symbol, supply }) {
  const { address, code, data } = minter(BANK, `${symbol} ${lt}`);
  await blockchain.setShardAccount(address,
    createShardAccount({ address, code, data, balance: 10n ** 9n }));
  touched.add(raw(address));
  give(address, 10n ** 9n, mintBody(BANK, BigInt(supply)), true);
  return { address: raw(address) };
}

async function payToken({ contract, address, amount, comment, forward = "1" }) {
  const master = await blockchain.getContract(Address.parse(contract));
  const slice = beginCell().storeAddress(BANK).endCell();
  const { stackReader } = await master.get("get_wallet_address", [{ type: "slice", cell: slice }]);
  const body = transferBody(Address.parse(address), BigInt(amount), comment, BigInt(forward));
  return give(stackReader.readAddress(), 10n ** 8n, body, true);
}

// One request at a time: the executor and the chain are shared.

let turn = Promise.resolve();

async function answer(request, body) {
  const url = new URL(request.url, "http://node");
  if (broken[url.pathname]) throw new Refused(broken[url.pathname], "told to fail");
  const handler = (request.method === "POST" ? POST : GET)[url.pathname];
  if (!handler) throw new Refused(404, "no such path");
  return handler(request.method === "POST" ? JSON.parse(body) : url.searchParams);
}

function serve(request, response) {
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
}

async function main() {
  blockchain = await Blockchain.create();
  await restore();
  if (!blocks.length) await mineOne();
  http.createServer(serve).listen(Number(options.port), "127.0.0.1");
  const every = Number(options["block-time-s"] || 0);
  if (every) setInterval(() => { turn = turn.then(mineOne); }, every * 1000);
}

main();
