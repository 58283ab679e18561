// The chain itself: accounts as the official executor leaves them, messages on their way, blocks.
//
// It has one shard of the basechain, makes a masterchain block when told, and never reorganises. A
// message is carried from account to account within the block, at most hopsPerBlock times; what is
// left waits for the next.
"use strict";

const { createHash } = require("node:crypto");
const fs = require("node:fs");
const path = require("node:path");
const { Address, Cell, beginCell, loadMessage, loadShardAccount,
  storeShardAccount } = require("@ton/core");
const { Blockchain, createShardAccount } = require("@ton/sandbox");
const { SHARD, STATUS, base64, blockJson, messageCell, messageCells, messageJson, normalisedHash,
  phasesJson, raw, stateJson } = require(path.join(__dirname, "ton_shapes.cjs"));

class Chain {
  blocks = []; // by seqno
  byHash = new Map();
  byMessage = new Map(); // hash, and for external ones the normalised hash → transaction
  pool = []; // external messages that wait: {message, id}
  queue = []; // internal messages that wait: {message, trace, hop}
  hopsPerBlock = 100;
  clockShift = 0;
  frozenAt = null; // where the clock stands still, so that storage costs nothing between blocks
  #touched = new Set(); // accounts that changed since the last block, raw
  #blockchain;
  #lt = 1000000n;
  #logPath;

  /** Opens a chain; with a path it goes on as its last block there left it. */
  static async open(logPath) {
    const chain = new Chain();
    chain.#logPath = logPath;
    chain.#blockchain = await Blockchain.create();
    await chain.#restore();
    if (!chain.blocks.length) await chain.mine();
    return chain;
  }

  seconds() {
    return (this.frozenAt ?? Math.floor(Date.now() / 1000)) + this.clockShift;
  }

  get lt() {
    return this.#lt;
  }

  contract(address) {
    return this.#blockchain.getContract(address);
  }

  async setBalance(address, balance) {
    (await this.contract(address)).balance = balance;
    this.#touched.add(raw(address));
  }

  async deploy(address, code, data, balance) {
    const account = createShardAccount({ address, code, data, balance });
    await this.#blockchain.setShardAccount(address, account);
    this.#touched.add(raw(address));
  }

  /** Puts an internal message on its way out of nothing, as from an account of another chain. */
  give(src, dest, coins, body, bounce) {
    this.#lt += 10n;
    const message = { info: { type: "internal", ihrDisabled: true, bounce, bounced: false, src, dest,
      value: { coins }, ihrFee: 0n, forwardFee: 0n, createdLt: this.#lt,
      createdAt: this.seconds() }, body };
    this.queue.push({ message, trace: null, hop: 1 });
    return { message_hash: base64(messageCell(message).hash()) };
  }

  /** Takes an external message into the pool; returns why its account refuses it, if so. */
  async submit(message) {
    const id = normalisedHash(message).toString("base64");
    if (!this.pool.some((other) => other.id === id)) {
      const error = await this.dryRun(message.info.dest, message, { now: this.seconds() })
        .then(() => null, (refusal) => refusal);
      if (error) return { error };
      this.pool.push({ message, id });
    }
    return { id };
  }

  /** Runs a message on an account and undoes it; throws what the executor throws. */
  async dryRun(address, message, parameters) {
    const contract = await this.contract(address);
    const saved = contract.snapshot();
    const savedLt = this.#blockchain.currentLt;
    try {
      this.#blockchain.currentLt = this.#lt + 1n;
      return await contract.receiveMessage(message, parameters);
    } finally {
      contract.loadFrom(saved);
      this.#blockchain.currentLt = savedLt;
    }
  }

  /** Makes a masterchain block with what waits. */
  async mine() {
    const parent = this.blocks[this.blocks.length - 1];
    const now = Math.max(this.seconds(), parent ? parent.now : 0);
    const block = { seqno: this.blocks.length, now, transactions: [], hop: 0, startLt: this.#lt };
    const taken = this.pool;
    this.pool = [];
    for (const { message } of taken) {
      try {
        await this.#execute(block, message.info.dest, message, null);
      } catch {
        // Not accepted any more: another one with its seqno came first, or it expired. It is gone.
      }
    }
    for (const item of this.queue) item.hop = Math.min(item.hop, 1);
    while (this.queue.length && this.queue[0].hop <= this.hopsPerBlock) {
      const { message, trace, hop } = this.queue.shift();
      block.hop = hop;
      await this.#execute(block, message.info.dest, message, trace);
    }
    this.#seal(block, parent);
    await this.#store(block);
  }

  async #execute(block, address, message, trace) {
    const contract = await this.contract(address);
    const before = contract.account;
    this.#touched.add(raw(address));
    this.#lt += 1000n;
    this.#blockchain.currentLt = this.#lt;
    const tx = await contract.receiveMessage(message, { now: block.now });
    this.#record(block, tx, before, contract.account, trace);
  }

  #record(block, tx, before, after, trace) {
    const cells = messageCells(tx);
    const json = transactionJson(block, tx, cells, before, after, trace);
    block.transactions.push(json);
    this.#remember(json);
    for (const cell of cells.out) {
      const message = loadMessage(cell.beginParse());
      if (message.info.type === "internal") {
        this.queue.push({ message, trace: json.trace_id, hop: block.hop + 1 });
      }
    }
  }

  #remember(json) {
    this.byHash.set(json.hash, json);
    if (json.in_msg) {
      this.byMessage.set(json.in_msg.hash, json);
      if (json.in_msg.hash_norm) this.byMessage.set(json.in_msg.hash_norm, json);
    }
  }

  /** Gives a block its shard blocks (two if it has several transactions) and its hashes. */
  #seal(block, parent) {
    this.#lt += 1000n;
    const sum = (...parts) => createHash("sha256").update(JSON.stringify(parts)).digest();
    const hashes = block.transactions.map((t) => t.hash);
    const cut = hashes.length > 1 ? Math.ceil(hashes.length / 2) : hashes.length;
    block.shards = [[0, cut], [cut, hashes.length]].slice(0, hashes.length > 1 ? 2 : 1)
      .map(([from, to], i) => {
        const seqno = (parent ? parent.shardSeqno : 0) + i + 1;
        for (const t of block.transactions.slice(from, to)) t.block_ref.seqno = seqno;
        const root = sum("shard", seqno, hashes.slice(from, to));
        return blockJson(block, this.#lt, 0, seqno, root, to - from);
      });
    block.shardSeqno = block.shards[block.shards.length - 1].seqno;
    const root = sum("master", block.seqno, parent ? parent.json.root_hash : "", block.shards);
    block.json = blockJson(block, this.#lt, -1, block.seqno, root, 0);
    this.blocks.push(block);
  }

  /** Writes a block with the accounts that it changed: a line each, so that a kill loses none. */
  async #store(block) {
    if (!this.#logPath) return;
    const accounts = await Promise.all([...this.#touched].map(async (address) => {
      const { account } = await this.contract(Address.parse(address));
      return [address, base64(beginCell().store(storeShardAccount(account)).endCell().toBoc())];
    }));
    this.#touched = new Set();
    const waiting = this.queue.map((q) => (
      { ...q, message: base64(messageCell(q.message).toBoc()) }));
    const line = { ...block, startLt: String(block.startLt), lt: String(this.#lt), waiting,
      accounts };
    fs.appendFileSync(this.#logPath, JSON.stringify(line) + "\n");
  }

  async #restore() {
    if (!this.#logPath || !fs.existsSync(this.#logPath)) return;
    for (const text of fs.readFileSync(this.#logPath, "utf8").split("\n").filter(Boolean)) {
      const { accounts, waiting, lt, ...block } = JSON.parse(text);
      this.blocks.push(block);
      block.transactions.forEach((json) => this.#remember(json));
      for (const [address, boc] of accounts) {
        const account = loadShardAccount(Cell.fromBase64(boc).beginParse());
        await this.#blockchain.setShardAccount(Address.parse(address), account);
      }
      this.#lt = BigInt(lt);
      this.queue = waiting.map((q) => (
        { ...q, message: loadMessage(Cell.fromBase64(q.message).beginParse()) }));
    }
  }
}

function transactionJson(block, tx, cells, before, after, trace) {
  const hash = base64(tx.hash());
  return {
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
}

module.exports = { Chain };
