//! Error numbers: this host's, and their translation to NetBSD's.

use libc::c_int;

/// An error number of this host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Errno(pub c_int);

impl Errno {
    /// The calling thread's last error. To be read right after the call that failed, before anything is scheduled:
    /// an upcall may change it.
    #[cold]
    pub fn last() -> Self {
        Errno(std::io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO))
    }

    /// The number that NetBSD gives to this error: 1 to 96. EINVAL where neither this host nor NetBSD knows it.
    pub fn to_netbsd(self) -> c_int {
        let number = usize::try_from(self.0).ok().and_then(|host| NETBSD.get(host));
        number.map_or(NETBSD_EINVAL, |&number| c_int::from(number))
    }
}

impl core::fmt::Display for Errno {
    fn fmt(&self, out: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        std::io::Error::from_raw_os_error(self.0).fmt(out)
    }
}

const NETBSD_EINVAL: c_int = 22;

/// Errors that both systems have under the same name: this host's number, NetBSD's (from its `sys/errno.h`).
const SAME: &[(c_int, u8)] = &[
    (libc::EPERM, 1),
    (libc::ENOENT, 2),
    (libc::ESRCH, 3),
    (libc::EINTR, 4),
    (libc::EIO, 5),
    (libc::ENXIO, 6),
    (libc::E2BIG, 7),
    (libc::ENOEXEC, 8),
    (libc::EBADF, 9),
    (libc::ECHILD, 10),
    (libc::EDEADLK, 11),
    (libc::ENOMEM, 12),
    (libc::EACCES, 13),
    (libc::EFAULT, 14),
    (libc::ENOTBLK, 15),
    (libc::EBUSY, 16),
    (libc::EEXIST, 17),
    (libc::EXDEV, 18),
    (libc::ENODEV, 19),
    (libc::ENOTDIR, 20),
    (libc::EISDIR, 21),
    (libc::EINVAL, 22),
    (libc::ENFILE, 23),
    (libc::EMFILE, 24),
    (libc::ENOTTY, 25),
    (libc::ETXTBSY, 26),
    (libc::EFBIG, 27),
    (libc::ENOSPC, 28),
    (libc::ESPIPE, 29),
    (libc::EROFS, 30),
    (libc::EMLINK, 31),
    (libc::EPIPE, 32),
    (libc::EDOM, 33),
    (libc::ERANGE, 34),
    (libc::EAGAIN, 35),
    (libc::EINPROGRESS, 36),
    (libc::EALREADY, 37),
    (libc::ENOTSOCK, 38),
    (libc::EDESTADDRREQ, 39),
    (libc::EMSGSIZE, 40),
    (libc::EPROTOTYPE, 41),
    (libc::ENOPROTOOPT, 42),
    (libc::EPROTONOSUPPORT, 43),
    (libc::ESOCKTNOSUPPORT, 44),
    (libc::EOPNOTSUPP, 45),
    (libc::EPFNOSUPPORT, 46),
    (libc::EAFNOSUPPORT, 47),
    (libc::EADDRINUSE, 48),
    (libc::EADDRNOTAVAIL, 49),
    (libc::ENETDOWN, 50),
    (libc::ENETUNREACH, 51),
    (libc::ENETRESET, 52),
    (libc::ECONNABORTED, 53),
    (libc::ECONNRESET, 54),
    (libc::ENOBUFS, 55),
    (libc::EISCONN, 56),
    (libc::ENOTCONN, 57),
    (libc::ESHUTDOWN, 58),
    (libc::ETOOMANYREFS, 59),
    (libc::ETIMEDOUT, 60),
    (libc::ECONNREFUSED, 61),
    (libc::ELOOP, 62),
    (libc::ENAMETOOLONG, 63),
    (libc::EHOSTDOWN, 64),
    (libc::EHOSTUNREACH, 65),
    (libc::ENOTEMPTY, 66),
    (libc::EUSERS, 68),
    (libc::EDQUOT, 69),
    (libc::ESTALE, 70),
    (libc::EREMOTE, 71),
    (libc::ENOLCK, 77),
    (libc::ENOSYS, 78),
    (libc::EIDRM, 82),
    (libc::ENOMSG, 83),
    (libc::EOVERFLOW, 84),
    (libc::EILSEQ, 85),
    (libc::ECANCELED, 87),
    (libc::EBADMSG, 88),
    (libc::ENODATA, 89),
    (libc::ENOSR, 90),
    (libc::ENOSTR, 91),
    (libc::ETIME, 92),
    (libc::EMULTIHOP, 94),
    (libc::ENOLINK, 95),
    (libc::EPROTO, 96),
];

/// Errors that only this host has, and NetBSD's nearest; what a driver or a file system there would have said.
const NEAREST: &[(c_int, u8)] = &[
    (libc::ECHRNG, 22),          // EINVAL: a number out of range
    (libc::EL2NSYNC, 96),        // EPROTO: the link level is out of step
    (libc::EL3HLT, 96),          // EPROTO
    (libc::EL3RST, 96),          // EPROTO
    (libc::ELNRNG, 22),          // EINVAL
    (libc::EUNATCH, 6),          // ENXIO: no driver attached
    (libc::ENOCSI, 22),          // EINVAL
    (libc::EL2HLT, 96),          // EPROTO
    (libc::EBADE, 96),           // EPROTO: invalid exchange
    (libc::EBADR, 9),            // EBADF: invalid request descriptor
    (libc::EXFULL, 55),          // ENOBUFS: exchange full
    (libc::ENOANO, 2),           // ENOENT
    (libc::EBADRQC, 22),         // EINVAL: invalid request code
    (libc::EBADSLT, 22),         // EINVAL: invalid slot
    (libc::EBFONT, 79),          // EFTYPE: bad file format
    (libc::ENONET, 50),          // ENETDOWN: not on the network
    (libc::ENOPKG, 78),          // ENOSYS: not installed
    (libc::EADV, 96),            // EPROTO
    (libc::ESRMNT, 16),          // EBUSY: still mounted
    (libc::ECOMM, 5),            // EIO: communication error on send
    (libc::EDOTDOT, 96),         // EPROTO
    (libc::ENOTUNIQ, 48),        // EADDRINUSE: name not unique on network
    (libc::EBADFD, 9),           // EBADF: descriptor in bad state
    (libc::EREMCHG, 70),         // ESTALE: remote address changed
    (libc::ELIBACC, 8),          // ENOEXEC: shared library errors
    (libc::ELIBBAD, 8),          // ENOEXEC
    (libc::ELIBSCN, 8),          // ENOEXEC
    (libc::ELIBMAX, 8),          // ENOEXEC
    (libc::ELIBEXEC, 8),         // ENOEXEC
    (libc::ERESTART, 4),         // EINTR: to be restarted
    (libc::ESTRPIPE, 32),        // EPIPE
    (libc::EUCLEAN, 5),          // EIO: file system needs repair
    (libc::ENOTNAM, 22),         // EINVAL
    (libc::ENAVAIL, 22),         // EINVAL
    (libc::EISNAM, 22),          // EINVAL
    (libc::EREMOTEIO, 5),        // EIO
    (libc::ENOMEDIUM, 6),        // ENXIO: no medium in the drive
    (libc::EMEDIUMTYPE, 79),     // EFTYPE: wrong medium
    (libc::ENOKEY, 81),          // ENEEDAUTH
    (libc::EKEYEXPIRED, 80),     // EAUTH
    (libc::EKEYREVOKED, 80),     // EAUTH
    (libc::EKEYREJECTED, 80),    // EAUTH
    (libc::EOWNERDEAD, 3),       // ESRCH: the owner of a lock died
    (libc::ENOTRECOVERABLE, 22), // EINVAL: the state it left cannot be repaired
    (libc::ERFKILL, 50),         // ENETDOWN: the radio is switched off
    (libc::EHWPOISON, 5),        // EIO: a broken memory page
];

/// One more than this host's greatest error number.
const COUNT: usize = libc::EHWPOISON as usize + 1;

/// NetBSD's number by this host's.
static NETBSD: [u8; COUNT] = {
    let mut numbers = [NETBSD_EINVAL as u8; COUNT];
    // No error stays no error.
    numbers[0] = 0;
    let mut i = 0;
    while i < SAME.len() {
        numbers[SAME[i].0 as usize] = SAME[i].1;
        i += 1;
    }
    i = 0;
    while i < NEAREST.len() {
        numbers[NEAREST[i].0 as usize] = NEAREST[i].1;
        i += 1;
    }
    numbers
};

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// Numbers that this host does not use: 41 and 58 repeat EAGAIN and EDEADLK on other machines.
    const UNUSED: [c_int; 2] = [41, 58];

    #[test]
    fn every_host_error_has_its_row() {
        let rows: Vec<c_int> = SAME.iter().chain(NEAREST).map(|row| row.0).collect();
        let distinct: BTreeSet<c_int> = rows.iter().copied().collect();
        assert_eq!(distinct.len(), rows.len(), "an error stands in two rows");
        let expected: BTreeSet<c_int> = (1..COUNT as c_int).filter(|number| !UNUSED.contains(number)).collect();
        assert_eq!(distinct, expected);
    }

    #[test]
    fn every_result_is_a_netbsd_error() {
        for host in 1..COUNT as c_int {
            assert!((1..=96).contains(&Errno(host).to_netbsd()), "{host}");
        }
    }

    #[test]
    fn errors_of_one_name_stay_apart() {
        let numbers: BTreeSet<u8> = SAME.iter().map(|row| row.1).collect();
        assert_eq!(numbers.len(), SAME.len());
    }

    #[test]
    fn known_differences() {
        assert_eq!(Errno(libc::EAGAIN).to_netbsd(), 35);
        assert_eq!(Errno(libc::ENOSYS).to_netbsd(), 78);
        assert_eq!(Errno(libc::ETIMEDOUT).to_netbsd(), 60);
        assert_eq!(Errno(libc::EDEADLK).to_netbsd(), 11);
    }

    #[test]
    fn numbers_from_nowhere_are_invalid_arguments() {
        for number in [-1, 41, 134, 512, c_int::MIN, c_int::MAX] {
            assert_eq!(Errno(number).to_netbsd(), 22, "{number}");
        }
        assert_eq!(Errno(0).to_netbsd(), 0);
    }
}
