//! A ratio and its interval as a bar.

/// Columns of a bar; odd, so that a ratio of 1 has its own.
pub const WIDTH: usize = 11;

/// `ratio` and its interval on a logarithmic scale from 1/`scale` to `scale`, 1 in the middle: `-` for the interval,
/// `o` for the ratio, `|` for 1. What lies outside of the scale stands at its end as `<` or `>`.
pub fn bar(ratio: f64, interval: Option<(f64, f64)>, scale: f64, ascii: bool) -> String {
    let [line, point, one] = if ascii { ['-', 'o', '|'] } else { ['─', '●', '│'] };
    let middle = (WIDTH / 2) as f64;
    // Rounded from the middle on, so that both sides are alike.
    let place = |ratio: f64| middle + (middle * ratio.ln() / scale.ln()).round();
    let column = |ratio: f64| place(ratio).clamp(0.0, (WIDTH - 1) as f64) as usize;
    let shown = |ratio: f64, inside: char| match place(ratio) {
        place if place < 0.0 => '<',
        place if place >= WIDTH as f64 => '>',
        _ => inside,
    };
    let mut cells = [' '; WIDTH];
    if let Some((low, high)) = interval {
        cells[column(low)..=column(high)].fill(line);
        for end in [low, high] {
            cells[column(end)] = shown(end, line);
        }
    }
    cells[WIDTH / 2] = one;
    cells[column(ratio)] = shown(ratio, point);
    cells.iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_in_the_middle_and_doubling_is_as_far_as_halving() {
        assert_eq!(bar(1.0, None, 4.0, true), "     o     ");
        assert_eq!(bar(2.0, Some((1.5, 3.0)), 4.0, true), "     |--o- ");
        assert_eq!(bar(0.5, Some((0.3, 1.1)), 4.0, true), " -o--|     ");
        assert_eq!(bar(9.0, Some((5.0, 20.0)), 4.0, true), "     |    >");
        assert_eq!(bar(3.0, Some((0.1, 20.0)), 4.0, true), "<----|---o>");
        assert_eq!(bar(0.1, None, 4.0, false), "<    │     ");
    }
}
