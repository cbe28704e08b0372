//! Host memory.

use crate::conformance::calls::{assert_filled, fill, free, malloc, map, netbsd, unmap};
use crate::conformance::case::Family;
use core::ptr::null_mut;
use libc::c_int;
use std::fs;

const PAGE: usize = 4096;

pub(super) fn cases(family: &mut Family<'_>) {
    alignments(family);
    blocks(family);
    mappings(family);
    map_alignments(family);
}

fn alignments(family: &mut Family<'_>) {
    for bit in 0..=20 {
        let alignment: c_int = 1 << bit;
        let case = family.case(
            format!("malloc_aligned_to_{alignment}"),
            "memory is aligned as asked, whatever its size, and can be written and freed",
            move |guest| {
                for size in [1, 8, 100, PAGE, 70_000] {
                    let blocks: Vec<_> =
                        (0..10).map(|_| guest.stays_on_cpu(|| malloc(size, alignment)).expect("memory")).collect();
                    for (seed, &block) in blocks.iter().enumerate() {
                        assert_eq!(block as usize % (1 << bit), 0, "{block:p}");
                        fill(block, size, seed);
                    }
                    for (seed, &block) in blocks.iter().enumerate() {
                        assert_filled(block, size, seed);
                        guest.stays_on_cpu(|| free(block, size));
                    }
                }
            },
        );
        if bit < 3 {
            case.weakness("aborts");
        }
    }
    family.case("malloc_without_an_alignment", "alignment 0 is good for every type", |_| {
        for size in [8, 16, 24, 100, 1000, 100_000] {
            let block = malloc(size, 0).expect("memory");
            // No type that needs more than its size, nor more than C's max_align_t.
            let alignment = align_of::<libc::max_align_t>().min(size);
            assert_eq!(block as usize % alignment, 0, "{size} bytes");
            free(block, size);
        }
    });
    for alignment in [3, 6, 24, 4095, -1, -8, c_int::MIN] {
        family
            .case(
                format!("malloc_aligned_to_{alignment}_is_an_error"),
                "an alignment that is no power of two is EINVAL",
                move |guest| {
                    let outcome = guest.stays_on_cpu(|| malloc(64, alignment));
                    assert_eq!(outcome.map(|_| ()), Err(netbsd::EINVAL));
                },
            )
            .weakness("aborts");
    }
}

fn blocks(family: &mut Family<'_>) {
    for (name, size) in [
        ("all_memory", usize::MAX),
        ("nearly_all_memory", usize::MAX - PAGE),
        ("half_of_it", usize::MAX / 2),
        ("an_exabyte", 1 << 60),
    ] {
        for alignment in [0, 4096] {
            family.case(
                format!("malloc_of_{name}_aligned_to_{alignment}"),
                "memory that the host does not have is ENOMEM",
                move |guest| {
                    let outcome = guest.stays_on_cpu(|| malloc(size, alignment));
                    assert_eq!(outcome.map(|_| ()), Err(netbsd::ENOMEM));
                },
            );
        }
    }
    family.case("malloc_of_nothing", "no bytes are no error, and can be freed", |_| {
        let block = malloc(0, 0).expect("nothing");
        free(block, 0);
    });
    family.case("malloc_of_many_sizes", "blocks of all sizes do not overlap and keep what is in them", |_| {
        let sizes: Vec<usize> = (0..400).map(|number| 1 + (number * number * 7) % 20_000).collect();
        let blocks: Vec<_> = sizes.iter().map(|size| malloc(*size, 0).expect("memory")).collect();
        for (seed, (&block, &size)) in blocks.iter().zip(&sizes).enumerate() {
            fill(block, size, seed);
        }
        for (seed, (&block, &size)) in blocks.iter().zip(&sizes).enumerate() {
            assert_filled(block, size, seed);
            free(block, size);
        }
    });
    family.case(
        "malloc_of_guest_pages",
        "pages of the guest are what it asks for most: aligned, distinct, reusable",
        |_| {
            for _ in 0..5 {
                let pages: Vec<_> = (0..500).map(|_| malloc(PAGE, 4096).expect("a page")).collect();
                for (seed, &page) in pages.iter().enumerate() {
                    fill(page, PAGE, seed);
                }
                for (seed, &page) in pages.iter().enumerate() {
                    assert_filled(page, PAGE, seed);
                    free(page, PAGE);
                }
            }
        },
    );
    family.case(
        "free_by_another_thread",
        "memory may be freed by another thread than the one that asked for it",
        |guest| {
            for (size, alignment) in [(24, 0), (PAGE, 4096), (100_000, 64)] {
                let blocks: Vec<usize> = (0..50).map(|_| malloc(size, alignment).expect("memory") as usize).collect();
                guest.spawn(move || blocks.into_iter().for_each(|block| free(block as *mut u8, size))).join();
            }
        },
    );
    family.case("malloc_by_many_threads", "threads that ask and free at the same time never share a block", |guest| {
        let threads: Vec<_> = (0..4)
            .map(|thread| {
                guest.spawn(move || {
                    for round in 0..300 {
                        let size = 1 + (round * 37) % 9000;
                        let alignment = if round % 2 == 0 { 0 } else { 4096 };
                        let block = malloc(size, alignment).expect("memory");
                        fill(block, size, thread);
                        std::thread::yield_now();
                        assert_filled(block, size, thread);
                        free(block, size);
                    }
                })
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join());
    });
}

/// The permissions of the mapping at `address`, as in `/proc/self/maps`; `None` where nothing is mapped.
fn permissions(address: *const u8) -> Option<String> {
    let maps = std::fs::read_to_string("/proc/self/maps").expect("the list of mappings");
    maps.lines().find_map(|line| {
        let (range, rest) = line.split_once(' ')?;
        let (start, end) = range.split_once('-')?;
        let number = |text| usize::from_str_radix(text, 16).ok();
        (number(start)?..number(end)?).contains(&(address as usize)).then(|| rest[..4].to_owned())
    })
}

fn mappings(family: &mut Family<'_>) {
    for pages in [1, 2, 16, 1024] {
        family.case(
            format!("anonmmap_of_{pages}_pages"),
            "a mapping is aligned to pages, full of zeroes, and can be written",
            move |guest| {
                let size = pages * PAGE;
                let memory = guest.stays_on_cpu(|| map(null_mut(), size, 0, false)).expect("memory");
                assert_eq!(memory as usize % PAGE, 0);
                // SAFETY: the library mapped so many bytes.
                assert!(unsafe { core::slice::from_raw_parts(memory, size) }.iter().all(|byte| *byte == 0));
                fill(memory, size, pages);
                assert_filled(memory, size, pages);
                guest.stays_on_cpu(|| unmap(memory, size));
            },
        );
    }
    family.case(
        "anonmmap_is_not_executable",
        "a mapping is for reading and writing only, unless asked otherwise",
        |_| {
            let memory = map(null_mut(), PAGE, 0, false).expect("memory");
            assert_eq!(permissions(memory).as_deref(), Some("rw-p"));
        },
    );
    family.case("anonmmap_of_code", "an executable mapping can be written, and then run", |_| {
        #[cfg(target_arch = "x86_64")]
        // mov eax, 42; ret
        let code = [0xb8, 42, 0, 0, 0, 0xc3];
        #[cfg(target_arch = "aarch64")]
        // mov w0, #42; ret
        let code = [0x40, 0x05, 0x80, 0x52, 0xc0, 0x03, 0x5f, 0xd6];
        let memory = map(null_mut(), PAGE, 0, true).expect("memory");
        // SAFETY: a whole page was mapped for it.
        unsafe { core::ptr::copy_nonoverlapping(code.as_ptr(), memory, code.len()) };
        // SAFETY: a function without arguments that returns an int was just written there.
        let function: extern "C" fn() -> c_int = unsafe { core::mem::transmute(memory) };
        assert_eq!(function(), 42);
        unmap(memory, PAGE);
    });
    family.case("anonmmap_of_nothing_is_an_error", "a mapping of no bytes is an error", |_| {
        assert!(map(null_mut(), 0, 0, false).is_err());
    });
    for (name, size) in [("all_memory", usize::MAX), ("an_exabyte", 1 << 60)] {
        family.case(format!("anonmmap_of_{name}"), "memory that the host does not have is ENOMEM", move |_| {
            assert_eq!(map(null_mut(), size, 0, false).map(|_| ()), Err(netbsd::ENOMEM));
        });
    }
    family.case(
        "anonmmap_elsewhere",
        "a preferred address that is taken is only a wish: nothing there is lost",
        |_| {
            let first = map(null_mut(), PAGE, 0, false).expect("memory");
            fill(first, PAGE, 1);
            let second = map(first, PAGE, 0, false).expect("memory");
            assert_ne!(first, second);
            fill(second, PAGE, 2);
            assert_filled(first, PAGE, 1);
        },
    );
    family.case("unmap_gives_it_back", "after unmap nothing is mapped there", |_| {
        let memory = map(null_mut(), 64 * PAGE, 0, false).expect("memory");
        assert!(permissions(memory).is_some());
        unmap(memory, 64 * PAGE);
        assert_eq!(permissions(memory), None);
    });
    family.case("unmap_of_a_part", "the rest of a mapping stays when a part of it is unmapped", |_| {
        let memory = map(null_mut(), 3 * PAGE, 0, false).expect("memory");
        fill(memory, 3 * PAGE, 3);
        let middle = memory.wrapping_add(PAGE);
        unmap(middle, PAGE);
        assert_eq!(permissions(middle), None);
        assert_filled(memory, PAGE, 3);
        assert!(permissions(memory.wrapping_add(2 * PAGE)).is_some());
    });
}

/// Pages of the process's address space that are in use.
fn address_space() -> usize {
    let pages = fs::read_to_string("/proc/self/statm").expect("the size of the process");
    pages.split(' ').next().and_then(|pages| pages.parse().ok()).expect("a number")
}

fn map_alignments(family: &mut Family<'_>) {
    for bit in [0, 4, 12, 13, 16, 20, 21, 22, 24, 30] {
        let case = family.case(
            format!("anonmmap_aligned_to_bit_{bit}"),
            "a mapping is aligned to the power of two that was asked for, and no memory around it is kept",
            move |_| {
                for pages in [1, 3, 16] {
                    let size = pages * PAGE;
                    let before = address_space();
                    let mappings: Vec<_> = (0..4).map(|_| map(null_mut(), size, bit, false).expect("memory")).collect();
                    // What the suite itself needs meanwhile is less than a hundred pages.
                    assert!(address_space() <= before + 4 * pages + 100, "memory around them is kept");
                    for (seed, &memory) in mappings.iter().enumerate() {
                        assert_eq!(memory as usize % (1 << bit), 0, "{memory:p}");
                        fill(memory, size, seed);
                    }
                    for (seed, &memory) in mappings.iter().enumerate() {
                        assert_filled(memory, size, seed);
                        unmap(memory, size);
                        assert_eq!(permissions(memory), None);
                    }
                }
            },
        );
        if bit > 12 {
            case.weakness("ignores the alignment");
        }
    }
    for bit in [63, 64, 1000, -1] {
        family
            .case(
                format!("anonmmap_aligned_to_bit_{bit}_is_an_error"),
                "an alignment that no address can have is an error",
                move |_| assert!(map(null_mut(), PAGE, bit, false).is_err()),
            )
            .weakness("ignores the alignment");
    }
}
