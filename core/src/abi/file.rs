//! Host files: `rumpuser_open`, `close`, `getfileinfo`, `iovread`, `iovwrite`, `syncfd`.

use super::argument::{invalid, pointer, string};
use super::result;
use super::seam::{forward, off_cpu};
use super::types::{Iovec, file_type, open, sync};
use crate::host::block;
use crate::host::errno::Errno;
use crate::host::file::transfer::{Direction, Place, transfer};
use crate::host::file::{self, Access, Creation, Kind, flush};
use libc::{c_char, c_int};
use rumpscope_probes::{Hypercall, measure};

/// An offset that means: at the file position.
const NO_SEEK: i64 = -1;

/// Opens the host file `path` into `*fd`; `mode` is made of the bits in [`open`].
///
/// [`open::BIO`] says that the file will be used for block I/O. It changes nothing here: `O_DIRECT` would demand that
/// the guest's buffers, offsets and lengths are multiples of a size that the guest is not told.
///
/// # Safety
/// `path` is null or a string; `fd` is null or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rumpuser_open(path: *const c_char, mode: c_int, fd: *mut c_int) -> c_int {
    forward!(Hypercall::Open, open(path, mode, fd));
    let call = Hypercall::Open;
    measure(call, || {
        let open = || {
            let fd = pointer(call, "fd", fd)?;
            // SAFETY: the caller's promise.
            let path = unsafe { string(call, "path", path) }?;
            let (access, creation) = open_mode(mode).ok_or_else(|| invalid(call, format_args!("mode {mode:#x}")))?;
            let opened = off_cpu(call, || file::open(path, access, creation))?;
            // SAFETY: not null, so valid, as the caller promises.
            unsafe { fd.write(opened) };
            Ok(())
        };
        result(open())
    })
}

fn open_mode(mode: c_int) -> Option<(Access, Creation)> {
    if mode & !(open::ACCMODE | open::CREATE | open::EXCL | open::BIO) != 0 {
        return None;
    }
    let access = match mode & open::ACCMODE {
        open::RDONLY => Access::Read,
        open::WRONLY => Access::Write,
        open::RDWR => Access::ReadWrite,
        _ => return None,
    };
    let creation = match (mode & open::CREATE != 0, mode & open::EXCL != 0) {
        (false, _) => Creation::Never,
        (true, false) => Creation::IfMissing,
        (true, true) => Creation::Always,
    };
    Some((access, creation))
}

/// Closes `fd`. What was written through it is on stable storage then.
///
/// # Safety
/// `fd` is from [`rumpuser_open`], and nobody uses it any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rumpuser_close(fd: c_int) -> c_int {
    forward!(Hypercall::Close, close(fd));
    let call = Hypercall::Close;
    measure(call, || result(off_cpu(call, || file::close(fd))))
}

/// Stores the size in bytes and the kind ([`file_type`]) of the host file `path`. Either pointer may be null. The size
/// of a character device is 0.
///
/// # Safety
/// `path` is null or a string; `size` and `kind` are null or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rumpuser_getfileinfo(path: *const c_char, size: *mut u64, kind: *mut c_int) -> c_int {
    forward!(Hypercall::Getfileinfo, getfileinfo(path, size, kind));
    let call = Hypercall::Getfileinfo;
    measure(call, || {
        let ask = || {
            // SAFETY: the caller's promise.
            let path = unsafe { string(call, "path", path) }?;
            let wants_size = !size.is_null();
            // The size of a block device costs opening it.
            let (found_kind, found_size) = off_cpu(call, || {
                if wants_size { file::kind_and_size(path) } else { file::kind(path).map(|kind| (kind, 0)) }
            })?;
            if wants_size {
                // SAFETY: not null, so valid, as the caller promises.
                unsafe { size.write(found_size) };
            }
            if !kind.is_null() {
                // SAFETY: as above.
                unsafe { kind.write(kind_number(found_kind)) };
            }
            Ok(())
        };
        result(ask())
    })
}

fn kind_number(kind: Kind) -> c_int {
    match kind {
        Kind::Directory => file_type::DIR,
        Kind::Regular => file_type::REG,
        Kind::Block => file_type::BLK,
        Kind::Character => file_type::CHR,
        Kind::Other => file_type::OTHER,
    }
}

/// Reads from `fd` into the `count` buffers at `buffers`: at `offset`, or at the file position where that is -1. Stores
/// the number of bytes read, less than asked for at the end of the file.
///
/// # Safety
/// `buffers` are `count` buffers, each valid for writes of its length; `bytes` is null or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rumpuser_iovread(
    fd: c_int,
    buffers: *mut Iovec,
    count: usize,
    offset: i64,
    bytes: *mut usize,
) -> c_int {
    forward!(Hypercall::Iovread, iovread(fd, buffers, count, offset, bytes));
    // SAFETY: the caller's promise.
    measure(Hypercall::Iovread, || unsafe {
        move_bytes(Hypercall::Iovread, Direction::Read, fd, buffers, count, offset, bytes)
    })
}

/// Writes to `fd` from the `count` buffers at `buffers`: at `offset`, or at the file position where that is -1. Stores
/// the number of bytes written, less than asked for where the host failed after some.
///
/// # Safety
/// `buffers` are `count` buffers, each valid for reads of its length; `bytes` is null or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rumpuser_iovwrite(
    fd: c_int,
    buffers: *const Iovec,
    count: usize,
    offset: i64,
    bytes: *mut usize,
) -> c_int {
    forward!(Hypercall::Iovwrite, iovwrite(fd, buffers, count, offset, bytes));
    // SAFETY: the caller's promise.
    measure(Hypercall::Iovwrite, || unsafe {
        move_bytes(Hypercall::Iovwrite, Direction::Write, fd, buffers, count, offset, bytes)
    })
}

/// # Safety
/// As for [`rumpuser_iovread`] or [`rumpuser_iovwrite`], whichever `direction` it is.
unsafe fn move_bytes(
    call: Hypercall,
    direction: Direction,
    fd: c_int,
    buffers: *const Iovec,
    count: usize,
    offset: i64,
    bytes: *mut usize,
) -> c_int {
    let move_bytes = || {
        let bytes = pointer(call, "bytes", bytes)?;
        let buffers = if count == 0 {
            &[]
        } else {
            let buffers = pointer(call, "buffers", buffers)?;
            if count > isize::MAX as usize / size_of::<Iovec>() {
                return Err(invalid(call, format_args!("{count} buffers")));
            }
            // SAFETY: not null, and `count` long, as the caller promises.
            unsafe { core::slice::from_raw_parts(buffers.as_ptr(), count) }
        };
        let place = match offset {
            NO_SEEK => Place::Current,
            0.. => Place::Offset(offset),
            _ => return Err(invalid(call, format_args!("offset {offset}"))),
        };
        // SAFETY: the caller's promise.
        let moved = off_cpu(call, || unsafe { transfer(fd, direction, buffers, place) }.bytes_or_error())?;
        // SAFETY: not null, so valid, as the caller promises.
        unsafe { bytes.write(moved) };
        Ok(())
    };
    result(move_bytes())
}

/// Synchronises `length` bytes of `fd` from `start` on, to the end where `length` is 0, with its device.
///
/// | `flags` | what is true when it returns |
/// |---|---|
/// | [`sync::READ`] | reads see what is on the device |
/// | [`sync::WRITE`] | the host has begun to write what was written before |
/// | `WRITE` and [`sync::BARRIER`] | what was written before is on the device before anything written later |
/// | `WRITE` and [`sync::SYNC`] | what was written before is on stable storage, the device's own cache included |
///
/// This host has one means for the last two, and for the whole file only (`fdatasync`).
///
/// # Safety
/// None beyond `fd` being the guest's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rumpuser_syncfd(fd: c_int, flags: c_int, start: u64, length: u64) -> c_int {
    forward!(Hypercall::Syncfd, syncfd(fd, flags, start, length));
    let call = Hypercall::Syncfd;
    measure(call, || {
        let synchronise = || {
            let known = sync::READ | sync::WRITE | sync::BARRIER | sync::SYNC;
            if flags & !known != 0 || flags & (sync::READ | sync::WRITE) == 0 {
                return Err(invalid(call, format_args!("flags {flags:#x}")));
            }
            let range = flush::Range::new(start, length)?;
            off_cpu(call, || {
                if flags & sync::WRITE != 0 {
                    if flags & (sync::BARRIER | sync::SYNC) == 0 {
                        flush::start(fd, range)?;
                    } else {
                        // The host tells a failure once: stable writes that are under way learn of it from us.
                        flush::whole(fd).inspect_err(|errno| block::failed_outside(fd, *errno))?;
                    }
                }
                if flags & sync::READ != 0 {
                    flush::forget(fd, range)?;
                }
                Ok::<(), Errno>(())
            })
        };
        result(synchronise())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn open_modes() {
        assert_eq!(open_mode(open::RDWR | open::CREATE | open::BIO), Some((Access::ReadWrite, Creation::IfMissing)));
        assert_eq!(open_mode(open::WRONLY | open::CREATE | open::EXCL), Some((Access::Write, Creation::Always)));
        assert_eq!(open_mode(open::RDONLY | open::EXCL), Some((Access::Read, Creation::Never)));
        for impossible in [3, 0x20, -1, c_int::MIN] {
            assert_eq!(open_mode(impossible), None, "{impossible:#x}");
        }
    }

    #[test]
    fn bad_arguments_are_netbsd_errors() {
        let (mut fd, mut bytes) = (-1, 0usize);
        // SAFETY: null, or valid for what the calls do.
        unsafe {
            assert_eq!(rumpuser_open(core::ptr::null(), 0, &mut fd), 14);
            assert_eq!(rumpuser_open(c"/dev/null".as_ptr(), 0, core::ptr::null_mut()), 14);
            assert_eq!(rumpuser_open(c"/dev/null".as_ptr(), 3, &mut fd), 22);
            assert_eq!(rumpuser_iovread(0, core::ptr::null_mut(), 1, 0, &mut bytes), 14);
            assert_eq!(rumpuser_iovread(0, core::ptr::null_mut(), 0, -2, &mut bytes), 22);
            assert_eq!(rumpuser_iovwrite(0, core::ptr::null(), 0, 0, core::ptr::null_mut()), 14);
            assert_eq!(rumpuser_syncfd(0, 0, 0, 0), 22);
            assert_eq!(rumpuser_syncfd(0, 0x12, 0, 0), 22);
            assert_eq!(rumpuser_syncfd(0, sync::WRITE, u64::MAX, 1), 22);
            assert_eq!(rumpuser_close(-1), 9);
            assert_eq!(rumpuser_getfileinfo(c"/".as_ptr(), core::ptr::null_mut(), core::ptr::null_mut()), 0);
        }
    }
}
