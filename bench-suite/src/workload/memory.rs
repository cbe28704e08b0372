//! Workload `memory`: pages, allocations and mappings are taken, filled, checked and given back.

use super::rng::{has_pattern, pattern};
use super::{Client, Kind, Load, Setup};
use crate::guest::GuestError;
use crate::guest::kmem::{Allocation, Mapping};
use crate::guest::pages::Page;
use core::ffi::c_int;
use core::ops::{Deref, DerefMut};
use std::sync::Arc;

pub(super) const KIND: Kind = Kind {
    name: "memory",
    description: "pages, allocations of all sizes and alignments, and mappings; every byte read back",
    threads: 2,
    multiple: 1,
    disk: 0,
    burst: Some(500),
    host_locks: false,
    setup,
};

/// Pieces that a client keeps at a time.
const PIECES: usize = 64;

struct Memory;

fn setup(_: &Setup) -> Result<Arc<dyn Load>, GuestError> {
    Ok(Arc::new(Memory))
}

/// A piece of memory.
enum Piece {
    Page(Page),
    Allocation(Allocation),
    Mapping(Mapping),
}

impl Deref for Piece {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        match self {
            Piece::Page(page) => &page[..],
            Piece::Allocation(allocation) => allocation,
            Piece::Mapping(mapping) => mapping,
        }
    }
}

impl DerefMut for Piece {
    fn deref_mut(&mut self) -> &mut [u8] {
        match self {
            Piece::Page(page) => &mut page[..],
            Piece::Allocation(allocation) => allocation,
            Piece::Mapping(mapping) => mapping,
        }
    }
}

/// A way of getting memory.
#[derive(Debug, Clone, Copy)]
enum Request {
    Page,
    Allocation { size: usize, align: usize },
    Mapping { size: usize },
}

impl Request {
    fn choose(client: &mut Client<'_>) -> Self {
        match client.rng.below(64) {
            0 => Request::Mapping { size: 4096 << client.rng.below(6) },
            1..24 => Request::Page,
            choice => {
                // All orders of magnitude are as likely.
                let order = client.rng.below(if choice < 28 { 17 } else { 12 });
                let size = 1 + client.rng.below(1 << order) as usize;
                let align = if client.rng.one_in(2) { 0 } else { 8 << client.rng.below(10) };
                Request::Allocation { size, align }
            }
        }
    }

    fn align(self) -> usize {
        match self {
            Request::Page | Request::Mapping { .. } => 4096,
            Request::Allocation { align, .. } => align.max(1),
        }
    }

    fn get(self) -> Result<Piece, c_int> {
        match self {
            Request::Page => Page::allocate().map(Piece::Page),
            Request::Allocation { size, align } => Allocation::new(size, align).map(Piece::Allocation),
            Request::Mapping { size } => Mapping::new(size).map(Piece::Mapping),
        }
    }
}

impl Load for Memory {
    fn run(&self, client: &mut Client<'_>) {
        let mut pieces: Vec<(u64, Piece)> = Vec::new();
        while client.more() {
            if pieces.len() == PIECES {
                let (key, piece) = pieces.swap_remove(client.rng.below(PIECES as u64) as usize);
                give_back(client, key, piece);
            }
            let request = Request::choose(client);
            let key = client.rng.next();
            let piece = client.system_call(|| {
                request.get().map(|mut piece| {
                    let clear = !matches!(piece, Piece::Mapping(_)) || piece.iter().all(|byte| *byte == 0);
                    pattern(key, &mut piece);
                    (piece, clear)
                })
            });
            match piece {
                Ok((piece, clear)) => {
                    client.check(clear, || "a new mapping was not all zeros".to_owned());
                    let start = piece.as_ptr().addr();
                    client.check(start % request.align() == 0, || format!("{request:?} lies at {start:#x}"));
                    pieces.push((key, piece));
                }
                Err(errno) => client.check(false, || format!("{request:?} failed with error {errno}")),
            }
            client.done();
        }
        for (key, piece) in pieces {
            give_back(client, key, piece);
        }
    }

    fn verify(&self, _: u64) -> Result<u64, String> {
        Ok(0)
    }
}

fn give_back(client: &mut Client<'_>, key: u64, piece: Piece) {
    let intact = client.system_call(|| {
        let intact = has_pattern(key, &piece);
        drop(piece);
        intact
    });
    client.check(intact, || "memory changed while nobody wrote to it".to_owned());
}
