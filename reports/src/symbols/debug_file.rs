//! Where the debug information of a file is, if it is not in the file itself.

use object::Object;
use std::fmt::Write;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

/// Where systems keep what was split off.
const FOLDERS: [&str; 1] = ["/usr/lib/debug"];

/// A place to look at.
#[derive(Debug)]
pub struct Place {
    /// The file that is there.
    pub path: PathBuf,
    /// What the [`checksum`] of that file is, where the link tells.
    pub checksum: Option<u32>,
}

impl Place {
    /// Whether the file `debug`, which is there, was split off `file`: it has the same build id, or where there is none the
    /// checksum that the link gives. A name alone stays the same when a program is built anew.
    pub fn has_that_of<'a, 'b>(&self, file: &impl Object<'a>, debug: &impl Object<'b>) -> bool {
        match (file.build_id().ok().flatten(), debug.build_id().ok().flatten()) {
            (None, None) => self.checksum.is_some_and(|of| checksum(&self.path).is_ok_and(|is| is == of)),
            (of, is) => of == is,
        }
    }
}

/// The places to look at for the debug information of the file at `path`, the best first: by build id; by the name that
/// the file gives (`.gnu_debuglink`), beside it, in a folder `.debug` beside it, and in the system's folders.
pub fn places<'a>(path: &Path, file: &impl Object<'a>) -> Vec<Place> {
    let mut places = Vec::new();
    if let Ok(Some([first, rest @ ..])) = file.build_id() {
        let rest = rest.iter().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        });
        places.extend(FOLDERS.iter().map(|folder| {
            let folder = Path::new(folder).join(".build-id").join(format!("{first:02x}"));
            Place { path: folder.join(format!("{rest}.debug")), checksum: None }
        }));
    }
    if let (Ok(Some((name, checksum))), Some(folder)) = (file.gnu_debuglink(), path.parent())
        && let Ok(name) = std::str::from_utf8(name)
    {
        let place = |folder: PathBuf| Place { path: folder.join(name), checksum: Some(checksum) };
        places.push(place(folder.to_owned()));
        places.push(place(folder.join(".debug")));
        let below = folder.strip_prefix("/").unwrap_or(folder);
        places.extend(FOLDERS.iter().map(|root| place(Path::new(root).join(below))));
    }
    // A link that names the file itself would lead nowhere.
    places.retain(|place| place.path != path);
    places
}

/// The checksum of a file, as links have it.
fn checksum(path: &Path) -> io::Result<u32> {
    let mut file = BufReader::with_capacity(1 << 16, File::open(path)?);
    let mut hasher = crc32fast::Hasher::new();
    loop {
        let bytes = file.fill_buf()?;
        if bytes.is_empty() {
            return Ok(hasher.finalize());
        }
        hasher.update(bytes);
        let read = bytes.len();
        file.consume(read);
    }
}
