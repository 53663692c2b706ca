//! Build script of the addon (`crates/node`): the linker settings of a Node native module.

fn main() {
    napi_build::setup();
}
