//! Bytes a second of each codec, with divan: `cargo bench -p fdwire-bench-loops`.

use divan::counter::BytesCount;
use divan::{Bencher, black_box};
use fdwire_bench_loops::{Loop, Work};
use fdwire_wire::Protocol;

/// Bytes of a message.
const SIZES: [usize; 3] = [64, 1024, 65_536];

/// The framings of streams, except `raw`, which has no frames.
const PROTOCOLS: [&str; 6] =
    ["length_prefixed", "lines", "msg_channel", "socket_protocol", "stockings", "uds_comms"];

fn main() {
    divan::main();
}

#[divan::bench(args = PROTOCOLS, consts = SIZES)]
fn decode<const SIZE: usize>(bencher: Bencher<'_, '_>, protocol: &str) {
    measure(bencher, protocol, Work::Decode, SIZE);
}

#[divan::bench(args = PROTOCOLS, consts = SIZES)]
fn encode<const SIZE: usize>(bencher: Bencher<'_, '_>, protocol: &str) {
    measure(bencher, protocol, Work::Encode, SIZE);
}

/// The check that precedes one `JSON.parse` of several texts.
#[divan::bench(consts = SIZES)]
fn json_balance<const SIZE: usize>(bencher: Bencher<'_, '_>) {
    measure(bencher, "length_prefixed", Work::Balance, SIZE);
}

fn measure(bencher: Bencher<'_, '_>, protocol: &str, work: Work, size: usize) {
    let made = Protocol::from_name(protocol).and_then(|protocol| Loop::new(protocol, work, size));
    let Some(mut one) = made else { panic!("{protocol} is no framing of streams") };
    let bytes = BytesCount::new(one.bytes());
    bencher.counter(bytes).bench_local(|| black_box(one.pass()));
}
