//! Lets the conformance program show a symbol of its own to the library that it tests, as a rump kernel program would.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rustc-link-arg-tests=-Wl,--export-dynamic-symbol=rumpscope_conformance_program");
}
