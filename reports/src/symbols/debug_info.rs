//! What debug information tells of code: source lines, and which functions were inlined.

use super::plain;
use super::variables::{Variable, variables};
use addr2line::Context;
use gimli::{Dwarf, EndianArcSlice, RunTimeEndian, SectionId};
use object::{Object, ObjectSection};
use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

/// A section, shared by all that read it.
pub type Section = EndianArcSlice<RunTimeEndian>;

/// The debug information of one file.
pub struct DebugInfo {
    dwarf: Arc<Dwarf<Section>>,
    context: Context<Section>,
}

/// A function at an address, as far as debug information knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Function {
    /// As the linker knows it.
    pub name: Option<String>,
    /// Where in the source the address is, or the call of the next inner function.
    pub file_line: Option<(String, u32)>,
}

impl DebugInfo {
    /// None if `file` has none that can be read, or more than `most` bytes.
    pub fn of<'a>(file: &impl Object<'a>, most: u64) -> Option<Self> {
        // In separate files it is often compressed.
        let bytes = file.section_by_name(".debug_info")?.compressed_file_range().ok()?.uncompressed_size;
        if bytes > most {
            return None;
        }
        let endian = if file.is_little_endian() { RunTimeEndian::Little } else { RunTimeEndian::Big };
        let section = |id: SectionId| {
            let data = file.section_by_name(id.name()).and_then(|section| section.uncompressed_data().ok());
            // Without the others it tells less; without this one nothing, and a separate file may have it.
            let data = data.or_else(|| (id != SectionId::DebugInfo).then(Cow::default)).ok_or(())?;
            Ok::<_, ()>(Section::new(Arc::from(data), endian))
        };
        let dwarf = Dwarf::load(section).ok()?;
        let dwarf = Arc::new(dwarf);
        let context = Context::from_arc_dwarf(Arc::clone(&dwarf)).ok()?;
        Some(DebugInfo { dwarf, context })
    }

    /// The variables that are always at the same place. Reads all there is: ask once.
    pub fn variables(&self) -> Vec<Variable> {
        variables(&self.dwarf)
    }

    /// The functions at an address, innermost first. Empty: nothing is known of it.
    pub fn functions(&self, address: u64) -> Vec<Function> {
        let mut functions = Vec::new();
        let Ok(mut frames) = self.context.find_frames(address).skip_all_loads() else {
            return functions;
        };
        while let Ok(Some(frame)) = frames.next() {
            let name = frame.function.and_then(|name| Some(name.raw_name().ok()?.into_owned()));
            let file_line = frame.location.and_then(|location| Some((plain::path(location.file?), location.line?)));
            functions.push(Function { name, file_line });
        }
        functions
    }
}

impl fmt::Debug for DebugInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DebugInfo").finish_non_exhaustive()
    }
}
