//! What the environment says of this library itself.

use super::diagnostic::warn;

/// Whether what `variable` names is on: it is, unless it says `off`. Anything but that and `on` gets a message.
pub(super) fn is_on(variable: &str) -> bool {
    match std::env::var_os(variable) {
        Some(setting) if setting == "off" => return false,
        Some(setting) if setting != "on" => {
            warn("init", format_args!("{variable}={}: not one of on, off; on is used", setting.display()));
        }
        _ => {}
    }
    true
}
