//! Which processors the guests of a bench have, and which the bench itself.
//!
//! Who reads a guest's segment takes time on a processor. Apart from that, which anybody's work does, what is left is what
//! the reading costs the guest.

use anyhow::{Context, bail};
use std::io;
use std::mem::MaybeUninit;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// The processors that we may use, in two parts.
#[derive(Clone, Copy)]
pub struct Cores {
    guest: libc::cpu_set_t,
    own: libc::cpu_set_t,
}

impl Cores {
    /// The first `count` of them for guests, the others for the calling thread and those that it starts from now on.
    ///
    /// # Errors
    /// When none would be left, or the host does not allow it.
    pub fn divide(count: usize) -> anyhow::Result<Self> {
        let all = allowed().context("cannot find which processors there are")?;
        // SAFETY: the set is valid, and every number is below its size.
        let numbers = (0..libc::CPU_SETSIZE as usize).filter(|number| unsafe { libc::CPU_ISSET(*number, &all) });
        let numbers: Vec<usize> = numbers.collect();
        if count == 0 || count >= numbers.len() {
            bail!(
                "of {} processors, {count} cannot be kept for the guest: one must be left for its reader",
                numbers.len()
            );
        }
        let cores = Cores { guest: set(&numbers[..count]), own: set(&numbers[count..]) };
        bind(&cores.own).context("cannot keep away from the guest's processors")?;
        Ok(cores)
    }

    /// Has `command`, a guest, run on its processors alone.
    pub fn bind(&self, command: &mut Command) {
        let guest = self.guest;
        // SAFETY: between fork and exec nothing is done but one system call.
        unsafe { command.pre_exec(move || bind(&guest)) };
    }
}

/// The processors that the calling thread may use.
fn allowed() -> io::Result<libc::cpu_set_t> {
    let mut set = MaybeUninit::<libc::cpu_set_t>::zeroed();
    // SAFETY: the set is valid memory of the size that is told.
    match unsafe { libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), set.as_mut_ptr()) } {
        // SAFETY: any bits are a set.
        0 => Ok(unsafe { set.assume_init() }),
        _ => Err(io::Error::last_os_error()),
    }
}

fn set(numbers: &[usize]) -> libc::cpu_set_t {
    // SAFETY: all bits zero is the empty set.
    let mut set = unsafe { MaybeUninit::<libc::cpu_set_t>::zeroed().assume_init() };
    // SAFETY: the set is valid, and the numbers are below its size.
    numbers.iter().for_each(|number| unsafe { libc::CPU_SET(*number, &mut set) });
    set
}

fn bind(set: &libc::cpu_set_t) -> io::Result<()> {
    // SAFETY: the set is valid.
    match unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), set) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guest_and_bench_have_processors_of_their_own() {
        // A thread of its own: the one of the test is used again.
        let numbers = |cores: &libc::cpu_set_t| -> Vec<usize> {
            // SAFETY: as above.
            (0..libc::CPU_SETSIZE as usize).filter(|number| unsafe { libc::CPU_ISSET(*number, cores) }).collect()
        };
        std::thread::spawn(move || {
            let all = numbers(&allowed().unwrap());
            assert!(Cores::divide(0).is_err() && Cores::divide(all.len()).is_err());
            if all.len() > 1 {
                Cores::divide(1).unwrap().bind(&mut Command::new("true"));
                assert_eq!(numbers(&allowed().unwrap()), all[1..]);
                let mut command = Command::new("sh");
                command.args(["-c", "grep Cpus_allowed_list /proc/self/status"]);
                let cores = Cores { guest: set(&all[..1]), own: set(&all[1..]) };
                cores.bind(&mut command);
                let text = String::from_utf8(command.output().unwrap().stdout).unwrap();
                assert_eq!(text.split_whitespace().last(), Some(all[0].to_string().as_str()));
            }
        })
        .join()
        .unwrap();
    }
}
