//! The variables that debug information tells of. Libraries are usually built without symbols for static ones.

use super::debug_info::Section;
use gimli::{
    AttributeValue, DW_AT_byte_size, DW_AT_count, DW_AT_linkage_name, DW_AT_location, DW_AT_name, DW_AT_specification,
    DW_AT_type, DW_AT_upper_bound, DW_TAG_array_type, DW_TAG_subrange_type, DW_TAG_variable, DebuggingInformationEntry,
    Dwarf, Expression, Operation, Reader, Unit, UnitOffset,
};

type Entry = DebuggingInformationEntry<Section>;

/// How many types are followed to learn the size of one: those of a sound program are nested less deep.
const DEEPEST: u32 = 16;

/// A variable that is always at the same place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variable {
    /// As the linker knows it, or as it is in the source.
    pub name: String,
    /// Where it begins in the file.
    pub start: u64,
    /// In bytes; never 0.
    pub size: u64,
}

/// All of a file. What cannot be read is left out.
pub fn variables(dwarf: &Dwarf<Section>) -> Vec<Variable> {
    let mut variables = Vec::new();
    let mut headers = dwarf.units();
    while let Ok(Some(header)) = headers.next() {
        let Ok(unit) = dwarf.unit(header) else { continue };
        let mut entries = unit.entries();
        while let Ok(Some(entry)) = entries.next_dfs() {
            if entry.tag() == DW_TAG_variable {
                variables.extend(variable(dwarf, &unit, entry));
            }
        }
    }
    variables
}

fn variable(dwarf: &Dwarf<Section>, unit: &Unit<Section>, entry: &Entry) -> Option<Variable> {
    let AttributeValue::Exprloc(place) = entry.attr_value(DW_AT_location)? else { return None };
    let start = address(dwarf, unit, place)?;
    // A definition apart from its declaration leaves the rest to that.
    let declared = match entry.attr_value(DW_AT_specification) {
        Some(AttributeValue::UnitRef(declaration)) => unit.entry(declaration).ok(),
        _ => None,
    };
    let attribute =
        |name| entry.attr_value(name).or_else(|| declared.as_ref().and_then(|declared| declared.attr_value(name)));
    let name = attribute(DW_AT_linkage_name).or_else(|| attribute(DW_AT_name))?;
    let name = dwarf.attr_string(unit, name).ok()?.to_string().ok()?.into_owned();
    let AttributeValue::UnitRef(kind) = attribute(DW_AT_type)? else { return None };
    let size = size(unit, kind, DEEPEST)?;
    (size > 0).then_some(Variable { name, start, size })
}

/// The address that an expression gives, if that is all it does: variables of threads, and those that live for a time
/// only, have others.
fn address(dwarf: &Dwarf<Section>, unit: &Unit<Section>, Expression(mut bytes): Expression<Section>) -> Option<u64> {
    let operation = Operation::parse(&mut bytes, unit.encoding()).ok()?;
    if !bytes.is_empty() {
        return None;
    }
    match operation {
        Operation::Address { address } => Some(address),
        Operation::AddressIndex { index } => dwarf.address(unit, index).ok(),
        _ => None,
    }
}

/// The size of a type in bytes.
fn size(unit: &Unit<Section>, kind: UnitOffset, deepest: u32) -> Option<u64> {
    let entry = unit.entry(kind).ok()?;
    if let Some(size) = entry.attr_value(DW_AT_byte_size) {
        return size.udata_value();
    }
    let AttributeValue::UnitRef(inner) = entry.attr_value(DW_AT_type)? else { return None };
    let inner = size(unit, inner, deepest.checked_sub(1)?)?;
    if entry.tag() == DW_TAG_array_type { inner.checked_mul(elements(unit, kind)?) } else { Some(inner) }
}

/// How many elements an array has, of all its dimensions.
fn elements(unit: &Unit<Section>, array: UnitOffset) -> Option<u64> {
    let mut tree = unit.entries_tree(Some(array)).ok()?;
    let mut dimensions = tree.root().ok()?.children();
    let mut elements = 1_u64;
    while let Ok(Some(dimension)) = dimensions.next() {
        let dimension = dimension.entry();
        if dimension.tag() == DW_TAG_subrange_type {
            let count = dimension.attr_value(DW_AT_count).and_then(|count| count.udata_value());
            let last = || dimension.attr_value(DW_AT_upper_bound)?.udata_value()?.checked_add(1);
            elements = elements.checked_mul(count.or_else(last)?)?;
        }
    }
    Some(elements)
}
