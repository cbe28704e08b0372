//! Gives the shared object the name under which rump kernels look for it.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,librumpuser.so.0");
}
