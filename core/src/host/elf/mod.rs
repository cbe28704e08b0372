//! The objects that are loaded in this process, as the host's loader knows them.
//!
//! What an object says of itself is checked against where it is loaded before it is used: a damaged object has no
//! symbols, and nothing worse.

pub mod program;
mod symbols;
pub mod table;

pub use symbols::Symbol;

use core::ffi::{CStr, c_int, c_void};
use core::ops::Range;
use libc::{dl_phdr_info, size_t};

/// A loaded object. The addresses are good as long as it stays loaded.
#[derive(Debug)]
pub struct Object {
    /// Its path; empty for the main program on most hosts.
    path: Vec<u8>,
    is_main: bool,
    /// What is added to its addresses on file.
    bias: usize,
    /// Where it is in memory and can be read.
    readable: Vec<Range<usize>>,
    executable: Vec<Range<usize>>,
    /// Where its dynamic section is.
    dynamic: Option<Range<usize>>,
    thread_local: Option<ThreadLocal>,
}

/// The thread-local storage of an object.
#[derive(Clone, Copy, Debug)]
pub struct ThreadLocal {
    /// That of the thread which asked; null where it is made when it is first used.
    pub address: *mut u8,
    /// Bytes.
    pub length: usize,
    /// Its image: what a new thread has in the first so many bytes; zeros follow.
    image: *const u8,
    image_length: usize,
}

impl ThreadLocal {
    /// What a new thread has there.
    pub fn initial(&self) -> Vec<u8> {
        let mut initial = vec![0; self.length];
        let length = self.image_length.min(self.length);
        // SAFETY: the loader copies from there for every new thread, as long as the object is loaded.
        initial[..length].copy_from_slice(unsafe { core::slice::from_raw_parts(self.image, length) });
        initial
    }
}

/// All loaded objects, the main program first, the others in the order in which they were loaded. Where they have
/// thread-local storage, the calling thread's is told.
pub fn loaded() -> Vec<Object> {
    unsafe extern "C" fn add(info: *mut dl_phdr_info, _: size_t, objects: *mut c_void) -> c_int {
        // SAFETY: the loader's description of an object, and the vector below.
        let (info, objects) = unsafe { (&*info, &mut *objects.cast::<Vec<Object>>()) };
        // SAFETY: as above.
        let object = unsafe { Object::new(info, objects.is_empty()) };
        objects.push(object);
        0
    }
    let mut objects: Vec<Object> = Vec::new();
    // SAFETY: `add` gets the vector, which nobody else uses meanwhile.
    unsafe { libc::dl_iterate_phdr(Some(add), (&raw mut objects).cast()) };
    objects
}

impl Object {
    /// # Safety
    /// `info` is the loader's, of an object that is loaded.
    unsafe fn new(info: &dl_phdr_info, is_main: bool) -> Self {
        let path = if info.dlpi_name.is_null() {
            Vec::new()
        } else {
            // SAFETY: the loader's string.
            unsafe { CStr::from_ptr(info.dlpi_name) }.to_bytes().to_vec()
        };
        let bias = info.dlpi_addr as usize;
        let mut object = Object {
            path,
            is_main,
            bias,
            readable: Vec::new(),
            executable: Vec::new(),
            dynamic: None,
            thread_local: None,
        };
        if info.dlpi_phdr.is_null() {
            return object;
        }
        // SAFETY: the loader's array and its length.
        let headers = unsafe { core::slice::from_raw_parts(info.dlpi_phdr, usize::from(info.dlpi_phnum)) };
        for header in headers {
            let start = bias.wrapping_add(header.p_vaddr as usize);
            let range = start..start.saturating_add(header.p_memsz as usize);
            match header.p_type {
                libc::PT_LOAD => {
                    if header.p_flags & libc::PF_X != 0 {
                        object.executable.push(range.clone());
                    }
                    if header.p_flags & libc::PF_R != 0 {
                        object.readable.push(range);
                    }
                }
                libc::PT_DYNAMIC => object.dynamic = Some(range),
                libc::PT_TLS if header.p_memsz != 0 => {
                    object.thread_local = Some(ThreadLocal {
                        address: info.dlpi_tls_data.cast(),
                        length: header.p_memsz as usize,
                        image: core::ptr::with_exposed_provenance(range.start),
                        image_length: header.p_filesz as usize,
                    });
                }
                _ => {}
            }
        }
        object
    }

    /// Whether it is the main program.
    pub fn is_main(&self) -> bool {
        self.is_main
    }

    /// Its path as the loader knows it, as bytes.
    pub fn path(&self) -> &[u8] {
        &self.path
    }

    /// What tells it from the other loaded objects: where it is loaded.
    pub fn bias(&self) -> usize {
        self.bias
    }

    /// Its thread-local storage, if it has any.
    pub fn thread_local(&self) -> Option<ThreadLocal> {
        self.thread_local
    }

    /// Whether the function at `address` is code of this object.
    pub fn contains_code(&self, address: usize) -> bool {
        self.executable.iter().any(|range| range.contains(&address))
    }

    /// `count` values of `T` at `address`, if all of them are in this object, aligned, and can be read.
    ///
    /// # Safety
    /// `T` has no invalid values, and the object does not change them while they are used.
    pub(crate) unsafe fn slice<T>(&self, address: usize, count: usize) -> Option<&[T]> {
        if count == 0 {
            return Some(&[]);
        }
        let range = self.readable.iter().find(|range| range.contains(&address))?;
        let size = count.checked_mul(size_of::<T>())?;
        if size > range.end - address || !address.is_multiple_of(align_of::<T>()) {
            return None;
        }
        // SAFETY: mapped and readable, as the loader says; the rest is the caller's promise.
        Some(unsafe { core::slice::from_raw_parts(core::ptr::with_exposed_provenance(address), count) })
    }

    /// The bytes from `address` to the end of the part of the object that it lies in.
    fn rest(&self, address: usize) -> Option<&[u8]> {
        let range = self.readable.iter().find(|range| range.contains(&address))?;
        // SAFETY: bytes have no invalid values; the tables that are read are constant once an object is loaded.
        unsafe { self.slice(address, range.end - address) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_main_program_and_its_libraries_are_there() {
        let objects = loaded();
        assert!(objects[0].is_main());
        assert!(objects.iter().skip(1).all(|object| !object.is_main()));
        assert!(objects[0].contains_code(loaded as *const () as usize));
        assert!(objects.iter().any(|object| object.path().windows(5).any(|part| part == b"libc.")));
    }

    #[test]
    fn nothing_outside_an_object_is_read() {
        let objects = loaded();
        let object = &objects[0];
        let range = object.readable[0].clone();
        // SAFETY: bytes and words have no invalid values.
        unsafe {
            assert!(object.slice::<u8>(range.start, range.len()).is_some());
            assert!(object.slice::<u8>(range.start, range.len() + 1).is_none());
            assert!(object.slice::<u32>(range.start + 1, 1).is_none(), "not aligned");
            assert!(object.slice::<u64>(range.start, usize::MAX).is_none());
            assert!(object.slice::<u8>(0, 1).is_none());
        }
    }
}
