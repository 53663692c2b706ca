//! The build script of the addon (`crates/node`). It sets the linker options of a Node-API module.

fn main() {
    napi_build::setup();
}
