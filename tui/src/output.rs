//! Where a result is written to.

use crate::terminal;
use anyhow::Context;
use rumpscope_reports::Style;
use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::path::Path;

/// Where the result goes.
pub struct Output {
    json: Option<(String, Target)>,
    text: bool,
    ascii: bool,
}

/// Where a part of it goes.
pub enum Target {
    /// To standard output.
    StandardOutput,
    /// Into this file.
    File(File),
}

impl Target {
    /// The file `path`, which is made if it is not there. What it holds stays until there is something to write in its
    /// place.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn file(path: &Path) -> anyhow::Result<Self> {
        let file = File::options().write(true).create(true).truncate(false).open(path);
        Ok(Target::File(file.with_context(|| format!("cannot make {}", path.display()))?))
    }

    /// Writes `text` there, in place of what a file held.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(self, text: &str) -> io::Result<()> {
        match self {
            Target::StandardOutput => io::stdout().write_all(text.as_bytes()),
            Target::File(mut file) => {
                // A pipe or a terminal has no length.
                if file.metadata()?.is_file() {
                    file.set_len(0)?;
                }
                file.write_all(text.as_bytes())
            }
        }
    }
}

impl Output {
    /// The text to standard output and, where `json` is a path, JSON to that; `-`: JSON to standard output, no text.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub fn new(json: Option<&Path>, ascii: bool) -> anyhow::Result<Self> {
        let text = json.is_none_or(|path| path.as_os_str() != "-");
        let json = match json {
            None => None,
            Some(path) if path.as_os_str() == "-" => Some(("standard output".to_owned(), Target::StandardOutput)),
            Some(path) => Some((path.display().to_string(), Target::file(path)?)),
        };
        Ok(Output { json, text, ascii })
    }

    /// Writes what `json` and `text` make, where it is wanted; the text also where the JSON cannot be written.
    ///
    /// # Errors
    /// When one of them cannot be written.
    pub fn write(
        self,
        json: impl FnOnce() -> anyhow::Result<String>,
        text: impl FnOnce(&Style) -> String,
    ) -> anyhow::Result<()> {
        let stored = self.json.map_or(Ok(()), |(name, target)| {
            target.write(&json()?).with_context(|| format!("cannot write the result to {name}"))
        });
        if self.text {
            let text = text(&terminal::style(self.ascii));
            match io::stdout().write_all(text.as_bytes()) {
                // Whoever reads it has read enough.
                Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
                written => written.context("cannot write the summary to standard output")?,
            }
        }
        stored
    }
}
