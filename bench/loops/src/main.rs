//! Runs one loop a number of times, so that `bench/instructions.mjs` can count its instructions:
//!
//! ```text
//! fdwire-bench-loops <protocol> <decode|encode|balance> <bytes of a message> <passes>
//! ```

use std::env;
use std::hint::black_box;
use std::process::ExitCode;

use fdwire_bench_loops::{Loop, RING, Work};
use fdwire_wire::Protocol;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let Some((mut one, passes)) = parse(&arguments) else {
        eprintln!("Usage: fdwire-bench-loops <protocol> <decode|encode|balance> <bytes> <passes>");
        return ExitCode::from(2);
    };
    for _ in 0..passes {
        if black_box(one.pass()) != RING {
            eprintln!("A pass did not handle all {RING} messages");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

fn parse(arguments: &[String]) -> Option<(Loop, usize)> {
    let [protocol, work, size, passes] = arguments else { return None };
    let protocol = Protocol::from_name(protocol)?;
    let one = Loop::new(protocol, Work::from_name(work)?, size.parse().ok()?)?;
    Some((one, passes.parse().ok()?))
}
