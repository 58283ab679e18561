// Messages of the bank: comments, and a jetton (TEP-74) of the reference minter and wallet.
"use strict";

const { createHash } = require("node:crypto");
const path = require("node:path");
const { Cell, Dictionary, beginCell, contractAddress } = require("@ton/core");
const jetton = require(path.join(__dirname, "ton_jetton.json"));

const DECIMALS = 9;

function commentBody(text) {
  if (text === undefined || text === null) return beginCell().endCell();
  return beginCell().storeUint(0, 32).storeStringTail(text).endCell();
}

/** What a jetton tells of itself, on the chain (TEP-64). */
function contentOf(texts) {
  const found = Dictionary.empty(Dictionary.Keys.BigUint(256), Dictionary.Values.Cell());
  for (const [name, text] of Object.entries(texts)) {
    const key = BigInt(`0x${createHash("sha256").update(name).digest("hex")}`);
    found.set(key, beginCell().storeUint(0, 8).storeStringTail(text).endCell());
  }
  return beginCell().storeUint(0, 8).storeDict(found).endCell();
}

/** A jetton's master; no two names give the same. */
function minter(admin, name, symbol) {
  const content = contentOf({ name, symbol, decimals: String(DECIMALS) });
  const code = Cell.fromBase64(jetton.minter_code);
  const data = beginCell().storeCoins(0).storeAddress(admin).storeRef(content)
    .storeRef(Cell.fromBase64(jetton.wallet_code)).endCell();
  return { address: contractAddress(0, { code, data }), code, data };
}

function mintBody(owner, amount) {
  const transfer = beginCell().storeUint(0x178d4519, 32).storeUint(0, 64).storeCoins(amount)
    .storeAddress(null).storeAddress(null).storeCoins(0).storeBit(false).endCell();
  return beginCell().storeUint(jetton.mint_opcode, 32).storeUint(0, 64).storeAddress(owner)
    .storeCoins(10n ** 8n).storeRef(transfer).endCell();
}

function transferBody(recipient, amount, comment, forward) {
  const start = beginCell().storeUint(0x0f8a7ea5, 32).storeUint(0, 64).storeCoins(amount)
    .storeAddress(recipient).storeAddress(null).storeBit(false).storeCoins(forward);
  if (comment === undefined || comment === null) return start.storeBit(false).endCell();
  return start.storeBit(true).storeRef(commentBody(comment)).endCell();
}

module.exports = { commentBody, mintBody, minter, transferBody };
