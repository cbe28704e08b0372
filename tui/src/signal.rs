//! Names of signals, one that may be ignored, and one that is outlived.

/// The name of signal `number`; the number itself where it has none.
pub fn name(number: i32) -> String {
    let name = match number {
        libc::SIGHUP => "SIGHUP",
        libc::SIGINT => "SIGINT",
        libc::SIGQUIT => "SIGQUIT",
        libc::SIGILL => "SIGILL",
        libc::SIGTRAP => "SIGTRAP",
        libc::SIGABRT => "SIGABRT",
        libc::SIGBUS => "SIGBUS",
        libc::SIGFPE => "SIGFPE",
        libc::SIGKILL => "SIGKILL",
        libc::SIGUSR1 => "SIGUSR1",
        libc::SIGSEGV => "SIGSEGV",
        libc::SIGUSR2 => "SIGUSR2",
        libc::SIGPIPE => "SIGPIPE",
        libc::SIGALRM => "SIGALRM",
        libc::SIGTERM => "SIGTERM",
        libc::SIGXCPU => "SIGXCPU",
        libc::SIGXFSZ => "SIGXFSZ",
        libc::SIGSYS => "SIGSYS",
        _ => return format!("signal {number}"),
    };
    name.to_owned()
}

/// Whether signal `number` is to stay ignored: a SIGHUP that whoever started us has ignored, as `nohup` does. (Shells without
/// job control have their background jobs ignore SIGINT and SIGQUIT because of the terminal's keys. Who sends us one of these
/// by our number means us.)
pub fn stays_ignored(number: i32) -> bool {
    // SAFETY: all bytes zero is a valid `sigaction`; without a new one, the old one is told and nothing changes.
    let (told, action) = unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        (libc::sigaction(number, std::ptr::null(), &mut action), action)
    };
    number == libc::SIGHUP && told == 0 && action.sa_sigaction == libc::SIG_IGN
}

/// Does nothing: a write beyond a limit of the size of files then fails, instead of ending the process.
extern "C" fn ignore(_: libc::c_int) {}

/// From now on a limit of the size of files is an error of whoever writes. Not so in processes that we start: handlers,
/// unlike `SIG_IGN`, end with `exec`.
pub fn outlive_file_limits() {
    // SAFETY: the handler does nothing. That this signal can have a handler is certain, so the result is of no use.
    unsafe { libc::signal(libc::SIGXFSZ, ignore as extern "C" fn(libc::c_int) as libc::sighandler_t) };
}
