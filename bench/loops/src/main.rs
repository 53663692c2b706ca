//! Runs one loop a number of times, so that `bench/instructions.mjs` can count its instructions:
//!
//! ```text
//! fdwire-bench-loops <protocol> <decode|encode|balance> <bytes of a message> <passes>
//! fdwire-bench-loops channel transfer <bytes of a message> <passes>
//! ```

use std::env;
use std::hint::black_box;
use std::process::ExitCode;

use fdwire_bench_loops::{Loop, RING, Transfer, Work};
use fdwire_wire::Protocol;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let Some((mut pass, passes)) = parse(&arguments) else {
        eprintln!("Invalid arguments: see the documentation of main.rs");
        return ExitCode::from(2);
    };
    for _ in 0..passes {
        if black_box(pass()) != RING {
            eprintln!("A pass did not handle all {RING} messages");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

type Pass = Box<dyn FnMut() -> usize>;

/// Returns the loop and the number of its passes.
fn parse(arguments: &[String]) -> Option<(Pass, usize)> {
    let [protocol, work, size, passes] = arguments else { return None };
    let (size, passes) = (size.parse().ok()?, passes.parse().ok()?);
    if protocol == "channel" && work == "transfer" {
        let mut transfer = Transfer::new(size).ok()?;
        return Some((Box::new(move || transfer.pass()), passes));
    }
    let protocol = Protocol::from_name(protocol)?;
    let mut one = Loop::new(protocol, Work::from_name(work)?, size)?;
    Some((Box::new(move || one.pass()), passes))
}
