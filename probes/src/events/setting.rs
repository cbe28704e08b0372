//! How much room events have, from the environment.

use super::store::STEP_BYTES;
use std::ffi::OsStr;

/// `off`: no events; `on` (default): 10 MiB of them; or a size, such as `64MiB`, from 64 KiB to 4 GiB.
pub const ENV_EVENTS: &str = "RUMPSCOPE_EVENTS";

/// Room for some 650,000 events.
const DEFAULT: usize = 10 << 20;
pub(crate) const LARGEST: usize = 4 << 30;

/// The bytes that the environment asks for, and what is wrong with that.
pub(crate) fn wanted() -> (usize, Option<String>) {
    let Some(setting) = std::env::var_os(ENV_EVENTS) else { return (DEFAULT, None) };
    match bytes(&setting) {
        Some(bytes) => (bytes, None),
        None => {
            let setting = setting.display();
            let problem = "not on, off, or a size from 64KiB to 4GiB such as 64MiB; on (10MiB) is used";
            (DEFAULT, Some(format!("{ENV_EVENTS}={setting}: {problem}")))
        }
    }
}

/// Whether `setting` is a size that [`ENV_EVENTS`] may have, or another word for it; the setting itself.
///
/// # Errors
/// What it may be.
pub fn check_size(setting: &str) -> Result<String, String> {
    match bytes(OsStr::new(setting)) {
        Some(1..) => Ok(setting.to_owned()),
        _ => Err("a size from 64KiB to 4GiB, such as 64MiB".to_owned()),
    }
}

fn bytes(setting: &OsStr) -> Option<usize> {
    let setting = setting.to_str()?.trim();
    match setting {
        "off" | "0" => return Some(0),
        "on" | "1" => return Some(DEFAULT),
        _ => {}
    }
    let digits = setting.find(|character: char| !character.is_ascii_digit()).unwrap_or(setting.len());
    let unit = match setting[digits..].trim_start().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        "g" | "gib" => 1 << 30,
        _ => return None,
    };
    let bytes = setting[..digits].parse::<usize>().ok()?.checked_mul(unit)?;
    (STEP_BYTES..=LARGEST).contains(&bytes).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units() {
        let read = |setting: &str| bytes(OsStr::new(setting));
        assert_eq!(
            ["off", "0", "on", "64MiB", "64 k", "1g", "65536"].map(read),
            [Some(0), Some(0), Some(DEFAULT), Some(64 << 20), Some(64 << 10), Some(1 << 30), Some(65536),]
        );
        assert_eq!(["", "much", "1KiB", "5GiB", "-1", "64MB", "99999999999999999999"].map(read), [None; 7]);
    }
}
