//! Where a result is written to.

use crate::terminal;
use anyhow::Context;
use rumpscope_reports::Style;
use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::path::Path;

/// Where the result goes.
pub struct Output {
    json: Option<(String, Box<dyn Write>)>,
    text: bool,
    ascii: bool,
}

impl Output {
    /// The text to standard output and, where `json` is a path, JSON to that; `-`: JSON to standard output, no text.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub fn new(json: Option<&Path>, ascii: bool) -> anyhow::Result<Self> {
        let text = json.is_none_or(|path| path.as_os_str() != "-");
        let json: Option<(String, Box<dyn Write>)> = match json {
            None => None,
            Some(path) if path.as_os_str() == "-" => Some(("standard output".to_owned(), Box::new(io::stdout()))),
            Some(path) => {
                let name = path.display().to_string();
                let file = File::create(path).with_context(|| format!("cannot make {name}"))?;
                Some((name, Box::new(file)))
            }
        };
        Ok(Output { json, text, ascii })
    }

    /// Writes what `json` and `text` make, where it is wanted.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(
        self,
        json: impl FnOnce() -> anyhow::Result<String>,
        text: impl FnOnce(&Style) -> String,
    ) -> anyhow::Result<()> {
        if let Some((name, mut file)) = self.json {
            file.write_all(json()?.as_bytes()).with_context(|| format!("cannot write the result to {name}"))?;
        }
        if self.text {
            let text = text(&terminal::style(self.ascii));
            match io::stdout().write_all(text.as_bytes()) {
                // Whoever reads it has read enough.
                Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
                written => written.context("cannot write the summary to standard output")?,
            }
        }
        Ok(())
    }
}
