//! The remote system call server, which our library does not have yet: it says so.

use crate::conformance::calls::{CLIENT_CALLS, sysproxy_fini, sysproxy_init};
use crate::conformance::case::Family;

pub(super) fn cases(family: &mut Family<'_>) {
    family
        .case("init_is_not_supported", "sp_init is an error, with one line that says so, and no upcall", |guest| {
            assert!(guest.stays_on_cpu(|| sysproxy_init(c"unix://sp.sock")).is_err());
            assert!(!std::path::Path::new("sp.sock").exists(), "no server");
        })
        .ours_only()
        .verdict(|finished| match finished.errors().lines().count() {
            1 => Ok(()),
            lines => Err(format!("{lines} lines instead of one")),
        });
    family
        .case("fini_without_init", "sp_fini without a server does nothing", |guest| guest.stays_on_cpu(sysproxy_fini))
        .ours_only();
    for (name, call) in CLIENT_CALLS {
        family
            .case(
                format!("{name}_without_a_server"),
                "a call on a client that cannot be is an error, not a crash",
                move |_| assert_ne!(call(), 0),
            )
            .ours_only();
    }
}
