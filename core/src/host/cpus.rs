//! The CPUs of this host that the process may use.

use core::sync::atomic::{AtomicU64, Ordering};
use libc::pid_t;
use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

/// The number of CPUs that this process may run on: its affinity, limited by the CPU quota of its control groups, both
/// versions, rounded up. At least 1.
pub fn available() -> usize {
    let memberships = content(Path::new("/proc/self/cgroup")).unwrap_or_default();
    let quota = quota(&memberships, Path::new("/sys/fs/cgroup"));
    quota.map_or(usize::MAX, |quota| quota.ceil() as usize).min(affinity()).max(1)
}

fn affinity() -> usize {
    Mask::of_caller().map_or_else(online, |mask| mask.count())
}

fn online() -> usize {
    // SAFETY: no preconditions.
    let online = unsafe { libc::sysconf(libc::_SC_NPROCESSORS_ONLN) };
    usize::try_from(online).unwrap_or(1)
}

/// The CPU that the calling thread is on, as the host keeps it in the thread's own memory; a number that no CPU has where it does
/// not tell.
pub fn current() -> usize {
    // SAFETY: no preconditions.
    unsafe { libc::sched_getcpu() as u32 as usize }
}

/// Moves the calling thread from the CPU that it is on to another one that it may run on, if there is one and the host
/// agrees; says which one it has left. Afterwards it may run where it could before; what somebody else has said of that
/// meanwhile, in some microseconds, is lost.
pub fn leave_current() -> Option<usize> {
    let before = Mask::of_caller()?;
    let current = current();
    let others = before.without(current);
    (others.count() != 0 && others.count() < before.count() && others.move_to(&before)).then_some(current)
}

/// Moves it to that CPU, if it may run there and the host agrees. The rest as for [`leave_current`].
pub fn go_to(cpu: usize) {
    if let Some(before) = Mask::of_caller()
        && before.cpus().any(|known| known == cpu)
    {
        Mask::only(cpu).move_to(&before);
    }
}

/// The threads of this process; none where the host does not tell.
pub(super) fn threads() -> Vec<pid_t> {
    let tasks = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    tasks.filter_map(|task| task.file_name().to_str()?.parse().ok()).collect()
}

/// CPUs, one bit each: more than any machine has that Linux runs on (8192). `cpu_set_t` is an array of words of bits, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mask([u64; Mask::WORDS]);

impl Mask {
    const WORDS: usize = 8192 / 64;
    pub(super) const NONE: Mask = Mask([0; Mask::WORDS]);
    const ALL: Mask = Mask([u64::MAX; Mask::WORDS]);

    /// That one alone. It must be below 8192.
    pub(super) fn only(cpu: usize) -> Mask {
        Mask::NONE.with(cpu)
    }

    /// Those that the calling thread may run on, if the host tells.
    pub(super) fn of_caller() -> Option<Mask> {
        Mask::of(0)
    }

    /// Those that this thread of the process may run on; 0 is the calling one.
    pub(super) fn of(tid: pid_t) -> Option<Mask> {
        let mut mask = Mask::NONE;
        // SAFETY: the host writes at most the size given.
        let failed = unsafe { libc::sched_getaffinity(tid, size_of::<Mask>(), mask.0.as_mut_ptr().cast()) };
        (failed == 0).then_some(mask)
    }

    /// Has the calling thread run on these only. Whether the host has agreed.
    pub(super) fn set(&self) -> bool {
        self.set_for(0)
    }

    /// The same of this thread of the process.
    pub(super) fn set_for(&self, tid: pid_t) -> bool {
        // SAFETY: the host reads at most the size given.
        unsafe { libc::sched_setaffinity(tid, size_of::<Mask>(), self.0.as_ptr().cast()) == 0 }
    }

    /// Whether this CPU is among them.
    pub(super) fn has(&self, cpu: usize) -> bool {
        self.0.get(cpu / 64).is_some_and(|word| word & 1 << (cpu % 64) != 0)
    }

    /// Has the calling thread run on one of these, and afterwards on all of `before`. Whether the host has agreed.
    fn move_to(&self, before: &Mask) -> bool {
        self.set() && before.with_later_ones().set()
    }

    /// Where no CPU is left out, none will be that comes later.
    pub(super) fn with_later_ones(&self) -> &Mask {
        if self.count() >= online() { &Mask::ALL } else { self }
    }

    pub(super) fn count(&self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// The one that is there alone.
    pub(super) fn single(&self) -> Option<usize> {
        let word = self.0.iter().position(|word| *word != 0)?;
        (self.count() == 1).then(|| 64 * word + self.0[word].trailing_zeros() as usize)
    }

    /// These and that one, which must be below 8192.
    pub(super) fn with(mut self, cpu: usize) -> Mask {
        self.0[cpu / 64] |= 1 << (cpu % 64);
        self
    }

    /// The numbers of them.
    pub(super) fn cpus(&self) -> impl Iterator<Item = usize> {
        (0..64 * Mask::WORDS).filter(|cpu| self.has(*cpu))
    }

    /// The others.
    pub(super) fn without(mut self, cpu: usize) -> Mask {
        if let Some(word) = self.0.get_mut(cpu / 64) {
            *word &= !(1 << (cpu % 64));
        }
        self
    }
}

/// A [`Mask`] that is read and changed word by word, without a lock.
pub(super) struct AtomicMask([AtomicU64; Mask::WORDS]);

impl AtomicMask {
    /// No CPU.
    pub(super) const fn new() -> AtomicMask {
        AtomicMask([const { AtomicU64::new(0) }; Mask::WORDS])
    }

    pub(super) fn store(&self, mask: &Mask) {
        // Relaxed, here and below: each word by itself.
        self.0.iter().zip(mask.0).for_each(|(word, new)| word.store(new, Ordering::Relaxed));
    }

    pub(super) fn has(&self, cpu: usize) -> bool {
        self.0.get(cpu / 64).is_some_and(|word| word.load(Ordering::Relaxed) & 1 << (cpu % 64) != 0)
    }

    pub(super) fn count(&self) -> u32 {
        self.0.iter().map(|word| word.load(Ordering::Relaxed).count_ones()).sum()
    }
}

/// The smallest CPU quota, in CPUs, of the groups named by `memberships` (the text of `/proc/self/cgroup`) and of
/// those above them, under the mount point `root`; `None` where there is none.
fn quota(memberships: &str, root: &Path) -> Option<f64> {
    memberships
        .lines()
        .filter_map(|line| {
            // hierarchy-number:controllers:path; version 2 is number 0 without controllers.
            let mut fields = line.splitn(3, ':');
            let (_, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
            if controllers.is_empty() {
                smallest(root, path, quota_v2)
            } else if controllers.split(',').any(|controller| controller == "cpu") {
                smallest(&root.join(controllers), path, quota_v1)
                    .or_else(|| smallest(&root.join("cpu"), path, quota_v1))
            } else {
                None
            }
        })
        .min_by(f64::total_cmp)
}

/// The smallest of the quotas of the group `path` under `mount` and of the groups it lies in. In a container `path` may
/// be one of the world outside; what can be seen of it is looked at, the mount point itself always.
fn smallest(mount: &Path, path: &str, read: fn(&Path) -> Option<f64>) -> Option<f64> {
    let path = Path::new(path.trim_start_matches('/'));
    path.ancestors().filter_map(|group| read(&mount.join(group))).min_by(f64::total_cmp)
}

/// A file of the host's, which gives a small one in one piece: in three system calls, because a guest that boots waits for it.
fn content(path: &Path) -> Option<String> {
    let mut room = [0; 4096];
    let length = File::open(path).and_then(|mut file| file.read(&mut room)).ok()?;
    if length == room.len() {
        return fs::read_to_string(path).ok();
    }
    Some(String::from_utf8_lossy(&room[..length]).into_owned())
}

/// `cpu.max` holds `QUOTA PERIOD`, in microseconds; the quota may be `max`.
fn quota_v2(group: &Path) -> Option<f64> {
    let text = content(&group.join("cpu.max"))?;
    let (quota, period) = text.trim().split_once(' ')?;
    ratio(quota, period)
}

/// `cpu.cfs_quota_us` is -1 where there is no limit.
fn quota_v1(group: &Path) -> Option<f64> {
    let quota = content(&group.join("cpu.cfs_quota_us"))?;
    let quota = quota.trim();
    if quota == "-1" {
        return None;
    }
    ratio(quota, content(&group.join("cpu.cfs_period_us"))?.trim())
}

fn ratio(quota: &str, period: &str) -> Option<f64> {
    let (quota, period) = (quota.parse::<u64>().ok()?, period.parse::<u64>().ok()?);
    (quota > 0 && period > 0).then(|| quota as f64 / period as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::scratch::Scratch;

    fn write(scratch: &Scratch, path: &str, text: &str) {
        let path = scratch.file(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        fs::write(path, text).expect("written");
    }

    #[test]
    fn the_tightest_group_above_counts() {
        let scratch = Scratch::new("cgroup2");
        let root = scratch.file("");
        write(&scratch, "a/b/cpu.max", "max 100000\n");
        assert_eq!(quota("0::/a/b\n", &root), None);
        write(&scratch, "a/b/cpu.max", "350000 100000\n");
        assert_eq!(quota("0::/a/b\n", &root), Some(3.5));
        write(&scratch, "a/cpu.max", "50000 100000\n");
        assert_eq!(quota("0::/a/b\n", &root), Some(0.5));
        assert_eq!(quota("0::/elsewhere\n", &root), None);
        write(&scratch, "cpu.max", "200000 100000\n");
        assert_eq!(quota("0::/elsewhere\n", &root), Some(2.0), "a container's own root");
    }

    #[test]
    fn version_one_and_garbage() {
        let scratch = Scratch::new("cgroup1");
        let root = scratch.file("");
        write(&scratch, "cpu,cpuacct/x/cpu.cfs_quota_us", "150000\n");
        write(&scratch, "cpu,cpuacct/x/cpu.cfs_period_us", "100000\n");
        let memberships = "12:memory:/x\n3:cpu,cpuacct:/x\n0::/\n";
        assert_eq!(quota(memberships, &root), Some(1.5));
        write(&scratch, "cpu,cpuacct/x/cpu.cfs_quota_us", "-1\n");
        assert_eq!(quota(memberships, &root), None);
        write(&scratch, "cpu,cpuacct/x/cpu.cfs_quota_us", "100\n");
        write(&scratch, "cpu,cpuacct/x/cpu.cfs_period_us", "0\n");
        assert_eq!(quota(memberships, &root), None);
        assert_eq!(quota("nonsense\n::\n", &root), None);
    }

    #[test]
    fn a_thread_goes_elsewhere_and_may_come_back() {
        let leave = move || {
            let before = Mask::of_caller().expect("the host tells");
            // The host may have it back at once.
            let back_and_forth = (0..100).any(|_| {
                let Some(from) = leave_current() else { return false };
                let there = current();
                go_to(from);
                there != from && current() == from
            });
            assert_eq!(back_and_forth, before.count() > 1);
            assert_eq!(Mask::of_caller(), Some(before));
            before
        };
        std::thread::spawn(move || {
            let all = leave();
            // Who has been given one CPU stays.
            let one = Mask::only(all.cpus().next().expect("one at least"));
            assert!(one.set());
            assert_eq!(leave(), one);
        })
        .join()
        .expect("no panic");
    }

    #[test]
    fn one_that_is_there_alone() {
        assert_eq!(Mask::NONE.single(), None);
        assert_eq!(Mask::only(0).single(), Some(0));
        assert_eq!(Mask::only(8191).single(), Some(8191));
        assert_eq!(Mask::only(70).with(3).single(), None);
        assert_eq!(Mask::only(70).with(3).without(3).single(), Some(70));
        let used = AtomicMask::new();
        used.store(&Mask::only(70).with(3));
        assert_eq!([3, 4, 70, 8191, 8192].map(|cpu| used.has(cpu)), [true, false, true, false, false]);
        assert_eq!(used.count(), 2);
    }

    #[test]
    fn this_process_has_a_cpu() {
        let available = available();
        assert!(available >= 1 && available <= affinity());
    }
}
