//! The files in `/proc/PID/task` that tell of a process's threads.
//!
//! To open a file there takes longer than to read it, so those of a thread are kept open as long as there are file
//! descriptors for that.

use super::budget::{Budget, Place};
use std::fs::{DirEntry, File};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;

/// File descriptors that may be kept: a quarter of those that the process may have.
static FILES: Budget = Budget::new(4, 600);

/// What is first read of a file, in bytes; the longest, `status`, has some 1500.
const LENGTH: usize = 4096;

/// A file of a thread.
#[derive(Clone, Copy, Debug)]
pub(super) enum TaskFile {
    Stat,
    Schedstat,
    Status,
}

impl TaskFile {
    const ALL: [TaskFile; 3] = [TaskFile::Stat, TaskFile::Schedstat, TaskFile::Status];

    const fn name(self) -> &'static str {
        match self {
            TaskFile::Stat => "stat",
            TaskFile::Schedstat => "schedstat",
            TaskFile::Status => "status",
        }
    }
}

/// The threads' folders.
#[derive(Debug)]
pub(super) struct Tasks {
    /// The folder that they are in, by which they are found: a later process with the same number has another one. `None`:
    /// there is no such process, or we may not look at it.
    folder: Option<File>,
    files: &'static Budget,
}

/// The files of a thread.
#[derive(Debug)]
pub(super) struct TaskFiles {
    folder: String,
    /// In the order of [`TaskFile::ALL`]. They stay those of the thread: when it has ended they cannot be read.
    kept: Option<([File; TaskFile::ALL.len()], Place)>,
}

impl Tasks {
    /// Those of process `pid`.
    pub(super) fn new(pid: u32) -> Self {
        Tasks { folder: File::open(format!("/proc/{pid}/task")).ok(), files: &FILES }
    }

    /// The numbers of the threads that there are.
    ///
    /// # Errors
    /// When the process has ended, or no file descriptors are left to look with.
    pub(super) fn numbers(&self) -> io::Result<Vec<u32>> {
        let Some(path) = self.path() else { return Ok(Vec::new()) };
        let number = |entry: DirEntry| entry.file_name().to_str().and_then(|name| name.parse().ok());
        std::fs::read_dir(path)?.filter_map(|entry| entry.map(number).transpose()).collect()
    }

    /// The files of thread `tid`, which may have ended.
    pub(super) fn open(&self, tid: u32) -> TaskFiles {
        let folder = format!("{}/{tid}", self.path().unwrap_or_default());
        let mut kept = None;
        if let Some(place) = self.files.take(TaskFile::ALL.len() as u64)
            && let [Ok(stat), Ok(schedstat), Ok(status)] = TaskFile::ALL.map(|file| open(&folder, file))
        {
            kept = Some(([stat, schedstat, status], place));
        }
        TaskFiles { folder, kept }
    }

    fn path(&self) -> Option<String> {
        self.folder.as_ref().map(|folder| format!("/proc/self/fd/{}", folder.as_raw_fd()))
    }

    /// There are no file descriptors to keep.
    #[cfg(test)]
    pub(super) fn keep_none(&mut self) {
        static NONE: Budget = Budget::new(1, 0);
        self.files = &NONE;
    }
}

impl TaskFiles {
    /// All of a file, in `text`.
    ///
    /// # Errors
    /// When the thread has ended, or the host has no such file.
    pub(super) fn read<'a>(&self, file: TaskFile, text: &'a mut Vec<u8>) -> io::Result<&'a [u8]> {
        let opened;
        let source = match &self.kept {
            Some((kept, _)) => &kept[file as usize],
            None => {
                opened = open(&self.folder, file)?;
                &opened
            }
        };
        text.resize(text.len().max(LENGTH), 0);
        loop {
            // The host makes the whole text at each reading, and gives as much of it as there is room for.
            let length = source.read_at(text, 0)?;
            if length < text.len() {
                return Ok(&text[..length]);
            }
            text.resize(2 * length, 0);
        }
    }

    #[cfg(test)]
    pub(super) fn are_kept(&self) -> bool {
        self.kept.is_some()
    }
}

fn open(folder: &str, file: TaskFile) -> io::Result<File> {
    File::open(format!("{folder}/{}", file.name()))
}
