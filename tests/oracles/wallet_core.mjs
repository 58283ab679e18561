// Answers what wallet-core makes of keys and transactions: one JSON request a line on standard
// input, one JSON answer a line on standard output. The first argument is the node_modules folder.
//
//   {"op": "derive", "coin", "mnemonic", "paths"}   addresses in their customary form, by path
//   {"op": "forms", "coin", "private_key"}          every form of address of one key (hex)
//   {"op": "ton_wallet", "public_key", "wallet_ids"}  what v4R2 wallets begin with (BoC)
//   {"op": "ton_words", "words", "count"}           keys of TON mnemonics; new ones if none given
//   {"op": "ton_check", "words"}                    whether each is a mnemonic of TON's kind
//   {"op": "sign", "coin", "proto", "input"}        output of the signer; bytes are base64
//
// An error is an answer {"error": …}.

import { createInterface } from "node:readline";
import { createRequire } from "node:module";
import { join } from "node:path";
import { argv, stdin, stdout } from "node:process";

const require = createRequire(join(argv[2], "/"));
const { initWasm, TW } = require("@trustwallet/wallet-core");
const ton = require("@ton/crypto");
const core = await initWasm();

const hex = (bytes) => Buffer.from(bytes).toString("hex");
const bytes = (text) => Buffer.from(text, "hex");
const coinOf = (name) => core.CoinType[name];
const isEd25519 = (coin) => core.CoinTypeExt.curve(coin) === core.Curve.ed25519;

function publicKeyOf(key, coin) {
  return isEd25519(coin) ? key.getPublicKeyEd25519() : key.getPublicKey(coin);
}

function derive({ coin: name, mnemonic, paths }) {
  const coin = coinOf(name);
  const wallet = core.HDWallet.createWithMnemonic(mnemonic, "");
  const found = paths.map((path) => {
    const key = wallet.getKey(coin, path);
    const address = core.AnyAddress.createWithPublicKey(publicKeyOf(key, coin), coin);
    return { address: address.description(), private_key: hex(key.data()) };
  });
  wallet.delete();
  return found;
}

function forms({ coin: name, private_key }) {
  const coin = coinOf(name);
  const publicKey = publicKeyOf(core.PrivateKey.createWithData(bytes(private_key)), coin);
  const derivations = { bitcoin: ["bitcoinSegwit", "bitcoinLegacy", "bitcoinTaproot"] };
  const made = (derivations[name] ?? ["default"]).map((derivation) =>
    core.AnyAddress.createWithPublicKeyDerivation(
      publicKey,
      coin,
      core.Derivation[derivation],
    ).description(),
  );
  if (name !== "bitcoin") return made;
  const keyHash = core.Hash.sha256RIPEMD(publicKey.data());
  const script = core.BitcoinScript.buildPayToWitnessPubkeyHash(keyHash).data();
  const nested = Buffer.concat([Buffer.from([5]), core.Hash.sha256RIPEMD(script)]);
  return [...made, core.BitcoinAddress.createWithData(nested).description()];
}

function tonWallet({ public_key, wallet_ids }) {
  const publicKey = core.PublicKey.createWithData(bytes(public_key), core.PublicKeyType.ed25519);
  return wallet_ids.map((id) => core.TONWallet.buildV4R2StateInit(publicKey, 0, id | 0));
}

async function tonWords({ words, count }) {
  const mnemonics = words ?? [];
  for (let made = 0; made < (count ?? 0); made++) mnemonics.push((await ton.mnemonicNew(24)).join(" "));
  return Promise.all(
    mnemonics.map(async (mnemonic) => {
      const list = mnemonic.split(" ");
      const pair = await ton.mnemonicToPrivateKey(list);
      const valid = await ton.mnemonicValidate(list);
      return { words: mnemonic, valid, public_key: hex(pair.publicKey) };
    }),
  );
}

function tonCheck({ words }) {
  return Promise.all(words.map((mnemonic) => ton.mnemonicValidate(mnemonic.split(" "))));
}

function sign({ coin, proto, input }) {
  const { SigningInput, SigningOutput } = TW[proto].Proto;
  const encoded = SigningInput.encode(SigningInput.fromObject(input)).finish();
  const output = SigningOutput.decode(core.AnySigner.sign(encoded, coinOf(coin)));
  return SigningOutput.toObject(output, { bytes: String, longs: String });
}

const answers = {
  derive,
  forms,
  sign,
  ton_check: tonCheck,
  ton_wallet: tonWallet,
  ton_words: tonWords,
};

for await (const line of createInterface({ input: stdin })) {
  let answer;
  try {
    const request = JSON.parse(line);
    answer = await answers[request.op](request);
  } catch (error) {
    answer = { error: String(error?.stack ?? error) };
  }
  stdout.write(`${JSON.stringify(answer)}\n`);
}
