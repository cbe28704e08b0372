//! Numbers as people read them: three significant digits and a unit that fits.

/// `value` with three significant digits, as long as it is below 1000.
fn three_digits(value: f64) -> String {
    // The limits are where rounding would add a digit.
    match value {
        _ if value < 9.995 => format!("{value:.2}"),
        _ if value < 99.95 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

/// A time in nanoseconds, as `815ns`, `1.23us`, `45.6ms`, `78.9s` or, from an hour on, `1.23h`.
pub fn time(nanoseconds: f64, ascii: bool) -> String {
    let micro = if ascii { "us" } else { "µs" };
    if nanoseconds < 999.5 {
        return format!("{nanoseconds:.0}ns");
    }
    for (unit, size) in [(micro, 1e3), ("ms", 1e6)] {
        if nanoseconds / size < 999.5 {
            return format!("{}{unit}", three_digits(nanoseconds / size));
        }
    }
    if nanoseconds < 3600e9 {
        return format!("{}s", three_digits(nanoseconds / 1e9));
    }
    format!("{}h", three_digits(nanoseconds / 3600e9))
}

/// A count: exact below 10,000, then `12.3k`, `4.56M`, `7.89G`.
pub fn count(events: u64) -> String {
    if events < 10_000 {
        return events.to_string();
    }
    let (value, unit) = [("k", 1e3), ("M", 1e6), ("G", 1e9)]
        .into_iter()
        .map(|(unit, size)| (events as f64 / size, unit))
        .find(|(value, _)| *value < 999.5)
        .unwrap_or((events as f64 / 1e12, "T"));
    format!("{}{unit}", three_digits(value))
}

/// A number of events in a second.
pub fn rate(per_second: f64) -> String {
    if per_second < 999.5 { three_digits(per_second) } else { count(per_second.round() as u64) }
}

/// A part of the whole, as `12.3%`.
pub fn percent(part: f64) -> String {
    let percent = part * 100.0;
    if percent < 99.95 { format!("{percent:.1}%") } else { format!("{percent:.0}%") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_three_digits_and_the_largest_unit_that_fits() {
        let shown = [0.0, 999.4, 999.6, 1_234.0, 9_996.0, 99_960.0, 999_600.0, 5e9, 59.96e9, 3599e9, 3600e9]
            .map(|nanoseconds| time(nanoseconds, true));
        let expected =
            ["0ns", "999ns", "1.00us", "1.23us", "10.0us", "100us", "1.00ms", "5.00s", "60.0s", "3599s", "1.00h"];
        assert_eq!(shown, expected);
        assert_eq!(time(1_500.0, false), "1.50µs");
    }

    #[test]
    fn counts_are_exact_while_they_are_short() {
        let shown = [0, 9_999, 10_000, 999_499, 999_500, 1_234_567, 2_000_000_000_000].map(count);
        assert_eq!(shown, ["0", "9999", "10.0k", "999k", "1.00M", "1.23M", "2.00T"]);
    }

    #[test]
    fn parts_and_rates() {
        assert_eq!([0.0, 0.1234, 0.9996, 1.5].map(percent), ["0.0%", "12.3%", "100%", "150%"]);
        assert_eq!([0.5, 12.34, 1234.9, 45_600.0].map(rate), ["0.50", "12.3", "1235", "45.6k"]);
    }
}
