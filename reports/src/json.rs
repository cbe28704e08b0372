//! The summary for programs; `docs/json.md` describes it.

use crate::summary::Summary;
use serde::Serialize;

/// What the file says it is.
pub const SCHEMA: &str = "rumpscope.summary";

/// Goes up when a field changes its meaning or goes away; new fields may come without that.
pub const VERSION: u32 = 3;

#[derive(Serialize)]
struct Document<'a> {
    schema: &'static str,
    version: u32,
    rumpscope: &'static str,
    #[serde(flatten)]
    summary: &'a Summary,
}

/// The summary as one line of JSON.
///
/// # Errors
/// As `serde_json` has them; none is known for this data.
pub fn render(summary: &Summary) -> Result<String, serde_json::Error> {
    let document = Document { schema: SCHEMA, version: VERSION, rumpscope: env!("CARGO_PKG_VERSION"), summary };
    let mut text = serde_json::to_string(&document)?;
    text.push('\n');
    Ok(text)
}
