//! Where the debug information of a file is, if it is not in the file itself.

use object::Object;
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// Where systems keep what was split off.
const FOLDERS: [&str; 1] = ["/usr/lib/debug"];

/// The places to look at for the debug information of the file at `path`, the best first: by build id; by the name that
/// the file gives (`.gnu_debuglink`), beside it, in a folder `.debug` beside it, and in the system's folders.
pub fn places<'a>(path: &Path, file: &impl Object<'a>) -> Vec<PathBuf> {
    let mut places = Vec::new();
    if let Ok(Some([first, rest @ ..])) = file.build_id() {
        let rest = rest.iter().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        });
        places.extend(FOLDERS.iter().map(|folder| {
            Path::new(folder).join(".build-id").join(format!("{first:02x}")).join(format!("{rest}.debug"))
        }));
    }
    if let (Ok(Some((name, _))), Some(folder)) = (file.gnu_debuglink(), path.parent())
        && let Ok(name) = std::str::from_utf8(name)
    {
        places.push(folder.join(name));
        places.push(folder.join(".debug").join(name));
        let below = folder.strip_prefix("/").unwrap_or(folder);
        places.extend(FOLDERS.iter().map(|root| Path::new(root).join(below).join(name)));
    }
    // A link that names the file itself would lead nowhere.
    places.retain(|place| place != path);
    places
}
