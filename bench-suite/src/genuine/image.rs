//! The host's file behind the raw disk.

use crate::guest::image::Image;
use std::fs::OpenOptions;
use std::io::Write;

/// Bytes of a block, which is what is read at a time.
pub const BLOCK: usize = 4096;
/// Blocks with contents. All are in the host's page cache.
pub const BLOCKS: u64 = 4096;

/// A temporary image; block `n` has [`contents`]`(n)`.
pub fn image() -> Result<Image, String> {
    let image = Image::new(None).map_err(|error| error.to_string())?;
    let data: Vec<u8> = (0..BLOCKS).flat_map(contents).collect();
    let written = OpenOptions::new().write(true).open(image.path()).and_then(|mut file| file.write_all(&data));
    written.map_err(|error| format!("cannot write the disk image {}: {error}", image.path().display()))?;
    Ok(image)
}

/// The number of the block, over and over.
fn contents(number: u64) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    block.chunks_exact_mut(8).for_each(|place| place.copy_from_slice(&number.to_le_bytes()));
    block
}

/// Whether the block is the one with this number, by its first and last bytes: a whole look would take as long as the read.
pub fn is_block(data: &[u8], number: u64) -> bool {
    let number = number.to_le_bytes();
    data.len() == BLOCK && data.starts_with(&number) && data.ends_with(&number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_knows_its_number() {
        let block = contents(258);
        assert!(is_block(&block, 258));
        assert!(!is_block(&block, 259) && !is_block(&block[..BLOCK - 8], 258));
        let mut torn = block;
        torn[BLOCK - 1] = 1;
        assert!(!is_block(&torn, 258));
    }
}
