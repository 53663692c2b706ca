//! The program that libFuzzer drives. `FDWIRE_FUZZ` is the name of the target.
#![no_main]

use std::cell::OnceCell;

use fdwire_fuzz::Target;
use libfuzzer_sys::fuzz_target;

thread_local! {
    static TARGET: OnceCell<Target> = const { OnceCell::new() };
}

fuzz_target!(|input: &[u8]| TARGET.with(|target| target.get_or_init(chosen).run(input)));

fn chosen() -> Target {
    let name = std::env::var("FDWIRE_FUZZ").unwrap_or_default();
    let found = fdwire_fuzz::targets().into_iter().find(|target| target.name == name);
    found.unwrap_or_else(|| panic!("FDWIRE_FUZZ must be a target, not {name:?}"))
}
