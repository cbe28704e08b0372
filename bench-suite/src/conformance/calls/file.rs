//! Host files.

use super::{Outcome, outcome};
use libc::{c_int, c_void};
use rumpuser::abi::types::Iovec;
use std::ffi::CString;
use std::path::Path;

/// The offset that means: at the file position.
pub(crate) const AT_POSITION: i64 = -1;

pub(crate) fn c_string(text: impl Into<Vec<u8>>) -> CString {
    CString::new(text).expect("no NUL")
}

pub(crate) fn c_path(path: impl AsRef<Path>) -> CString {
    c_string(path.as_ref().as_os_str().as_encoded_bytes())
}

pub(crate) fn open(path: impl AsRef<Path>, mode: c_int) -> Outcome<c_int> {
    let path = c_path(path);
    let mut fd = -1;
    let error = hypercall!(open(path.as_ptr(), mode, &mut fd));
    outcome(error, fd)
}

pub(crate) fn close(fd: c_int) -> Outcome {
    outcome(hypercall!(close(fd)), ())
}

/// Size and type.
pub(crate) fn file_info(path: impl AsRef<Path>) -> Outcome<(u64, c_int)> {
    let path = c_path(path);
    let (mut size, mut kind) = (u64::MAX, -1);
    let error = hypercall!(getfileinfo(path.as_ptr(), &mut size, &mut kind));
    outcome(error, (size, kind))
}

/// Only the type; no place for the size.
pub(crate) fn file_type(path: impl AsRef<Path>) -> Outcome<c_int> {
    let path = c_path(path);
    let mut kind = -1;
    let error = hypercall!(getfileinfo(path.as_ptr(), core::ptr::null_mut(), &mut kind));
    outcome(error, kind)
}

/// Only the size; no place for the type.
pub(crate) fn file_size(path: impl AsRef<Path>) -> Outcome<u64> {
    let path = c_path(path);
    let mut size = u64::MAX;
    let error = hypercall!(getfileinfo(path.as_ptr(), &mut size, core::ptr::null_mut()));
    outcome(error, size)
}

/// Only whether it exists.
pub(crate) fn file_exists(path: impl AsRef<Path>) -> Outcome {
    let path = c_path(path);
    outcome(hypercall!(getfileinfo(path.as_ptr(), core::ptr::null_mut(), core::ptr::null_mut())), ())
}

/// Reads into the segments in turn; the number of bytes.
pub(crate) fn read_segments(fd: c_int, segments: &mut [Iovec], offset: i64) -> Outcome<usize> {
    let mut bytes = usize::MAX;
    let error = hypercall!(iovread(fd, segments.as_mut_ptr(), segments.len(), offset, &mut bytes));
    outcome(error, bytes)
}

/// Writes the segments in turn; the number of bytes.
pub(crate) fn write_segments(fd: c_int, segments: &[Iovec], offset: i64) -> Outcome<usize> {
    let mut bytes = usize::MAX;
    let error = hypercall!(iovwrite(fd, segments.as_ptr(), segments.len(), offset, &mut bytes));
    outcome(error, bytes)
}

/// A segment for either direction; its memory must outlive the transfer.
pub(crate) fn segment(memory: &mut [u8]) -> Iovec {
    Iovec { iov_base: memory.as_mut_ptr().cast::<c_void>(), iov_len: memory.len() }
}

pub(crate) fn read_at(fd: c_int, memory: &mut [u8], offset: i64) -> Outcome<usize> {
    read_segments(fd, &mut [segment(memory)], offset)
}

pub(crate) fn write_at(fd: c_int, memory: &[u8], offset: i64) -> Outcome<usize> {
    let segment = Iovec { iov_base: memory.as_ptr().cast_mut().cast::<c_void>(), iov_len: memory.len() };
    write_segments(fd, &[segment], offset)
}

pub(crate) fn sync(fd: c_int, flags: c_int, start: u64, length: u64) -> Outcome {
    outcome(hypercall!(syncfd(fd, flags, start, length)), ())
}
