// The paths of toncenter (version 3) that chain_adapters/ton asks, over a Chain.
"use strict";

const path = require("node:path");
const { Address, Cell, beginCell, loadMessage } = require("@ton/core");
const { base64, raw, stackItem, stackJson, stateJson } = require(
  path.join(__dirname, "ton_shapes.cjs"));

/** An answer with another status than 200. */
class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

const page = (list, q) => {
  const from = Number(q.get("offset") || 0);
  return list.slice(from, from + Math.min(Number(q.get("limit") || 10), 1000));
};

const listed = (q, name) => q.getAll(name).flatMap((text) => text.split(","));

/** Returns the handlers of a chain by method and path: GET is given the query, POST the body. */
function indexOf(chain) {
  const withSeqno = (q) => {
    const block = chain.blocks[Number(q.get("seqno"))];
    if (!block) throw new Refused(404, "block not found");
    return block;
  };

  async function accountJson(text) {
    const address = Address.parse(text);
    const state = stateJson((await chain.contract(address)).account);
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
    const contract = await chain.contract(Address.parse(body.address));
    try {
      const answer = await contract.get(body.method, (body.stack || []).map(stackItem));
      return { gas_used: Number(answer.gasUsed), exit_code: answer.exitCode,
        stack: answer.stack.map(stackJson) };
    } catch (error) {
      return { gas_used: 0, exit_code: error.exitCode ?? -13, stack: [] };
    }
  }

  async function jettonWallet(master, owner) {
    const slice = beginCell().storeAddress(Address.parse(owner)).endCell();
    const contract = await chain.contract(Address.parse(master));
    const { stackReader } = await contract.get("get_wallet_address",
      [{ type: "slice", cell: slice }]);
    const wallet = await chain.contract(stackReader.readAddress());
    if (wallet.accountState?.type !== "active") return null;
    const data = (await wallet.get("get_wallet_data")).stackReader;
    return { address: raw(wallet.address), balance: data.readBigNumber().toString(),
      owner: raw(Address.parse(owner)), jetton: raw(Address.parse(master)) };
  }

  async function jettonWallets(q) {
    const found = [];
    for (const master of listed(q, "jetton_address")) {
      for (const owner of listed(q, "owner_address")) found.push(await jettonWallet(master, owner));
    }
    return { jetton_wallets: page(found.filter(Boolean), q) };
  }

  async function estimateFee(body) {
    const dest = Address.parse(body.address);
    const init = body.init_code
      ? { code: Cell.fromBase64(body.init_code), data: Cell.fromBase64(body.init_data) } : undefined;
    const message = { info: { type: "external-in", dest, importFee: 0n }, init,
      body: Cell.fromBase64(body.body) };
    try {
      const parameters = { now: chain.seconds(), ignoreChksig: true };
      return feesOf(await chain.dryRun(dest, message, parameters));
    } catch (error) {
      throw new Refused(500, `cannot estimate: ${error.message}`);
    }
  }

  async function send(body) {
    const cell = Cell.fromBase64(body.boc);
    const { id, error } = await chain.submit(loadMessage(cell.beginParse()));
    if (error) {
      const code = error.exitCode === undefined ? "" : ` : exitcode=${error.exitCode}, steps=22`;
      throw new Refused(500, "LITE_SERVER_UNKNOWN: cannot apply external message to current state "
        + `: External message was not accepted${code}`);
    }
    return { message_hash: base64(cell.hash()), message_hash_norm: id };
  }

  const GET = {
    "/api/v3/masterchainInfo": async () => ({
      first: chain.blocks[0].json, last: chain.blocks[chain.blocks.length - 1].json }),
    "/api/v3/blocks": async (q) => {
      const block = chain.blocks[Number(q.get("seqno"))];
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
      transactions: [chain.byHash.get(q.get("hash"))].filter(Boolean), address_book: {} }),
    "/api/v3/transactionsByMessage": async (q) => ({
      transactions: [chain.byMessage.get(q.get("msg_hash"))].filter(Boolean), address_book: {} }),
    "/api/v3/accountStates": async (q) => ({
      accounts: await Promise.all(listed(q, "address").map(accountJson)) }),
    "/api/v3/walletStates": async (q) => ({
      wallets: await Promise.all(listed(q, "address").map(walletJson)) }),
    "/api/v3/jetton/wallets": jettonWallets,
  };
  const POST = {
    "/api/v3/message": send,
    "/api/v3/runGetMethod": runGetMethod,
    "/api/v3/estimateFee": estimateFee,
  };
  return { GET, POST };
}

function feesOf(tx) {
  const forward = [...tx.outMessages.values()].reduce(
    (s, m) => s + (m.info.type === "internal" ? m.info.forwardFee : 0n), 0n);
  const gas = tx.description.computePhase.gasFees ?? 0n;
  const storage = tx.description.storagePhase?.storageFeesCollected ?? 0n;
  const action = tx.description.actionPhase?.totalActionFees ?? 0n;
  return { source_fees: { in_fwd_fee: Number(tx.totalFees.coins - gas - storage - action),
    storage_fee: Number(storage), gas_fee: Number(gas), fwd_fee: Number(forward + action) },
    destination_fees: [] };
}

module.exports = { Refused, indexOf };
