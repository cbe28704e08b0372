//! Gives the shared object the name under which rump kernels look for it; and with `RUMPSCOPE_DELAYS=1`, has the locks dawdle
//! for the stress test (`cfg(delays)`: a flag for all crates would have all of them built again).

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=RUMPSCOPE_DELAYS");
    if std::env::var("RUMPSCOPE_DELAYS").is_ok_and(|delays| delays == "1") {
        println!("cargo:rustc-cfg=delays");
    }
    println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,librumpuser.so.0");
}
