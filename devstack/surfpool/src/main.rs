//! A Surfpool node that makes slots when told to: Solana's virtual machine behind JSON-RPC.
//!
//! Arguments are public keys, each given 100,000 SOL at the start. The first line of
//! standard output is the URL. Each line of standard input is a number of slots to make; the node
//! lives until standard input ends.

use std::io::BufRead;
use surfpool_sdk::{BlockProductionMode, SimnetCommand, Surfnet};

const LAMPORTS: u64 = 100_000_000_000_000;
/// Even a node that makes slots when told to makes one by itself after 75 of this.
const SLOT_MS: u64 = 60_000;

fn main() {
    let funded = std::env::args()
        .skip(1)
        .map(|key| key.parse().expect("arguments are public keys"))
        .collect();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime starts");
    let node = runtime
        .block_on(
            Surfnet::builder()
                .offline(true)
                .block_production_mode(BlockProductionMode::Manual)
                .slot_time_ms(SLOT_MS)
                .airdrop_addresses(funded)
                .airdrop_sol(LAMPORTS)
                .start(),
        )
        .expect("Surfpool starts");
    // The channel of events is bounded: a node that nobody listens to stands still when it is full.
    let events = node.events().clone();
    std::thread::spawn(move || for _ in events {});
    println!("{}", node.rpc_url());
    for line in std::io::stdin().lock().lines() {
        let slots: u64 = line.expect("text").trim().parse().expect("a number of slots");
        for _ in 0..slots {
            node.send_command(SimnetCommand::SlotForward(None)).expect("the node lives");
        }
    }
}
