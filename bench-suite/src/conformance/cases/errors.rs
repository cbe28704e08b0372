//! The translation of the host's error numbers.

use crate::conformance::calls::netbsd::{self, ERRORS};
use crate::conformance::calls::{errno, errtrans, set_errno};
use crate::conformance::case::Family;
use libc::c_int;

/// Linux has numbers up to here.
const LAST_HOST: c_int = 133;

pub(super) fn cases(family: &mut Family<'_>) {
    translation(family);
    client_errno(family);
}

fn translation(family: &mut Family<'_>) {
    for &(name, host, guest_number) in ERRORS {
        family.case(
            format!("errtrans_{}", name.to_lowercase()),
            format!("the host's {name} ({host}) is NetBSD's {name} ({guest_number})"),
            move |guest| assert_eq!(guest.stays_on_cpu(|| errtrans(host)), guest_number),
        );
    }
    family
        .case("errtrans_of_success", "0 is no error on either side", |_| assert_eq!(errtrans(0), 0))
        .weakness("translates 0 to EINVAL");
    family.case(
        "errtrans_of_other_host_errors",
        "an error that only the host has becomes some error of NetBSD",
        |_| {
            for host in (1..=LAST_HOST).filter(|host| ERRORS.iter().all(|(_, known, _)| known != host)) {
                let number = errtrans(host);
                assert!((1..=netbsd::LAST).contains(&number), "{host} became {number}");
            }
        },
    );
    family.case("errtrans_of_nonsense", "a number that is no error of the host becomes some error of NetBSD", |_| {
        for host in [LAST_HOST + 1, 512, 4095, c_int::MAX, -1, -11, c_int::MIN] {
            let number = errtrans(host);
            assert!((1..=netbsd::LAST).contains(&number), "{host} became {number}");
        }
    });
}

fn client_errno(family: &mut Family<'_>) {
    for number in [0, netbsd::ENOENT, netbsd::EAGAIN, netbsd::ETIMEDOUT, netbsd::EPROTO] {
        family.case(
            format!("seterrno_{number}"),
            "seterrno puts the guest's number, as it is, into the errno of the calling thread",
            move |guest| {
                guest.stays_on_cpu(|| set_errno(number));
                assert_eq!(errno(), number);
            },
        );
    }
    family.case("seterrno_is_of_one_thread", "seterrno does not touch the errno of other threads", |guest| {
        set_errno(1);
        let other = guest.spawn_outside(|| {
            set_errno(2);
            assert_eq!(errno(), 2);
        });
        other.join();
        set_errno(3);
        assert_eq!(errno(), 3);
    });
}
