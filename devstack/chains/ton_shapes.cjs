// How toncenter (version 3) writes messages, phases, states and results of get-methods.
"use strict";

const { createHash } = require("node:crypto");
const { Cell, Dictionary, beginCell, loadMessage, storeMessage, storeShardAccount,
  storeStateInit } = require("@ton/core");

const GLOBAL_ID = -777;
const SHARD = "8000000000000000";

const base64 = (bytes) => Buffer.from(bytes).toString("base64");
const raw = (address) => (address ? address.toRawString().toUpperCase() : null);
const STATUS = { uninitialized: "uninit", "non-existing": "nonexist", active: "active",
  frozen: "frozen" };

function messageCell(message) {
  return beginCell().store(storeMessage(message)).endCell();
}

/** Hash of an external message in the form that does not depend on how it was encoded (TEP-467). */
function normalisedHash(message) {
  const cell = beginCell().storeUint(2, 2).storeUint(0, 2).storeAddress(message.info.dest)
    .storeCoins(0).storeBit(false).storeBit(true).storeRef(message.body).endCell();
  return cell.hash();
}

function opcodeOf(body) {
  if (body.bits.length < 32 || body.isExotic) return null;
  return "0x" + body.beginParse().loadUint(32).toString(16).padStart(8, "0");
}

function commentOf(body) {
  try {
    const slice = body.beginParse();
    if (slice.loadUint(32) !== 0) return null;
    return { "@type": "text_comment", comment: slice.loadStringTail(), type: "text_comment" };
  } catch {
    return null;
  }
}

function initState(message) {
  if (!message.init) return null;
  const state = beginCell().store(storeStateInit(message.init)).endCell();
  return { hash: base64(state.hash()), body: base64(state.toBoc()), decoded: null };
}

function messageJson(cell) {
  const message = loadMessage(cell.beginParse());
  const { info, body } = message;
  const internal = info.type === "internal";
  const json = {
    hash: base64(cell.hash()),
    source: internal || info.type === "external-out" ? raw(info.src) : null,
    destination: info.type === "external-out" ? null : raw(info.dest),
    value: internal ? info.value.coins.toString() : null,
    value_extra_currencies: internal ? {} : null,
    fwd_fee: internal ? info.forwardFee.toString() : null,
    ihr_fee: internal ? info.ihrFee.toString() : null,
    extra_flags: null,
    created_lt: info.createdLt === undefined ? null : info.createdLt.toString(),
    created_at: info.createdAt === undefined ? null : String(info.createdAt),
    opcode: opcodeOf(body),
    decoded_opcode: null,
    ihr_disabled: internal ? info.ihrDisabled : null,
    bounce: internal ? info.bounce : null,
    bounced: internal ? info.bounced : null,
    import_fee: info.type === "external-in" ? info.importFee.toString() : null,
    message_content: { hash: base64(body.hash()), body: base64(body.toBoc()),
      decoded: commentOf(body) },
    init_state: initState(message),
  };
  if (info.type === "external-in") json.hash_norm = base64(normalisedHash(message));
  return json;
}

function phasesJson(d) {
  const json = { type: "ord", aborted: d.aborted, destroyed: d.destroyed,
    credit_first: d.creditFirst };
  if (d.storagePhase) {
    json.storage_ph = {
      storage_fees_collected: d.storagePhase.storageFeesCollected.toString(),
      status_change: d.storagePhase.statusChange };
  }
  if (d.creditPhase) json.credit_ph = { credit: d.creditPhase.credit.coins.toString() };
  const c = d.computePhase;
  json.compute_ph = c.type === "skipped"
    ? { skipped: true, reason: c.reason.replace("-", "_") }
    : { skipped: false, success: c.success, msg_state_used: c.messageStateUsed,
      account_activated: c.accountActivated, gas_fees: c.gasFees.toString(),
      gas_used: c.gasUsed.toString(), gas_limit: c.gasLimit.toString(), mode: c.mode,
      exit_code: c.exitCode, vm_steps: c.vmSteps };
  const a = d.actionPhase;
  if (a) {
    json.action = { success: a.success, valid: a.valid, no_funds: a.noFunds,
      status_change: a.statusChange, total_fwd_fees: String(a.totalFwdFees ?? 0),
      total_action_fees: String(a.totalActionFees ?? 0), result_code: a.resultCode,
      tot_actions: a.totalActions, spec_actions: a.specActions,
      skipped_actions: a.skippedActions, msgs_created: a.messagesCreated };
  }
  if (d.bouncePhase) json.bounce = { type: bounceType(d.bouncePhase.type) };
  return json;
}

const bounceType = (type) => ({ "negative-funds": "negfunds", "no-funds": "nofunds" }[type] || type);

function stateJson(account) {
  const stored = account.account;
  const state = stored?.storage.state;
  const active = state?.type === "active";
  const hash = beginCell().store(storeShardAccount(account)).endCell().hash();
  return {
    hash: base64(hash), balance: String(stored?.storage.balance.coins ?? 0),
    extra_currencies: {},
    account_status: !stored ? "nonexist" : state.type, frozen_hash: null,
    data_hash: active && state.state.data ? base64(state.state.data.hash()) : null,
    code_hash: active && state.state.code ? base64(state.state.code.hash()) : null,
  };
}

/** The cells of a transaction's messages as they are in it: another encoding has another hash. */
function messageCells(tx) {
  const slice = tx.raw.refs[0].beginParse();
  const inMessage = slice.loadMaybeRef();
  const out = slice.loadDict(Dictionary.Keys.Uint(15), Dictionary.Values.Cell());
  return { inMessage, out: [...out].sort((a, b) => a[0] - b[0]).map(([, cell]) => cell) };
}

function stackJson(item) {
  if (item.type === "int") return { type: "num", value: (item.value < 0n ? "-0x" : "0x")
    + (item.value < 0n ? -item.value : item.value).toString(16) };
  if (["cell", "slice"].includes(item.type)) {
    return { type: item.type, value: base64(item.cell.toBoc()) };
  }
  return { type: item.type, value: null };
}

function stackItem(item) {
  if (item.type === "num") return { type: "int", value: BigInt(item.value) };
  return { type: item.type, cell: Cell.fromBase64(item.value) };
}

/** A block as the index shows it; its transactions end at logical time `end`. */
function blockJson(block, end, workchain, seqno, root, txCount) {
  return {
    workchain, shard: SHARD, seqno, root_hash: base64(root),
    file_hash: base64(createHash("sha256").update(root).digest()), global_id: GLOBAL_ID,
    version: 0, key_block: false, gen_utime: String(block.now), start_lt: block.startLt.toString(),
    end_lt: end.toString(), tx_count: txCount,
    masterchain_block_ref: { workchain: -1, shard: SHARD, seqno: block.seqno },
    prev_blocks: seqno > 0 ? [{ workchain, shard: SHARD, seqno: seqno - 1 }] : [],
  };
}

module.exports = { SHARD, STATUS, base64, blockJson, messageCell, messageCells, messageJson,
  normalisedHash, phasesJson, raw, stackItem, stackJson, stateJson };
