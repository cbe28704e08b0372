//! Two stored benches, for people.

use super::table::{VERDICT, length, noise_unknown, scale, short, verdict};
use super::why;
use rumpscope_bench_suite::ab::{Across, Row, Side};
use rumpscope_reports::Style;
use rumpscope_reports::grid::{Column, Grid};
use rumpscope_reports::paragraph::{alarming, labelled};
use rumpscope_reports::units;

/// What the two are called in the table.
const NAMES: [&str; 2] = ["A", "B"];

/// The comparison as text.
pub fn render(across: &Across, style: &Style) -> String {
    let scale = scale(across.rows.iter().map(|row| &row.comparison));
    let mut sections = vec![header(across, style)];
    let loads = across.rows.chunk_by(|one, two| one.case == two.case);
    sections.extend(loads.map(|rows| load(rows, scale, style)));
    sections.push(remarks(across, style));
    sections.join("\n")
}

fn header(across: &Across, style: &Style) -> String {
    let mut text = style.title("rumpscope bench --compare") + "\n";
    for (name, side) in NAMES.into_iter().zip(&across.sides) {
        let Side { host, .. } = side;
        let what = format!(
            "{}: {} rounds, {}, on {}, {} cores, {}, by rumpscope {}",
            side.name,
            side.rounds,
            length(side.amount, side.warm_up_ns, style),
            host.system,
            host.cores,
            host.processor,
            side.rumpscope
        );
        text += &labelled(name, &what, style);
    }
    let [one, two] = &across.sides;
    if (one.amount, one.warm_up_ns) != (two.amount, two.warm_up_ns) {
        text += &alarming(
            "lengths",
            "the runs of A and B are not alike in length: that may be part of a difference",
            style,
        );
    }
    if let Some(mismatch) = &across.mismatch {
        text += &alarming("forced", &format!("they should not be compared: {mismatch}"), style);
    }
    text
}

fn load(rows: &[Row], scale: f64, style: &Style) -> String {
    let title = rows[0].case.map_or("All loads, geometric mean".to_owned(), |case| case.to_string());
    let has_speeds = rows[0].speeds.is_some();
    let cells = |row: &Row| {
        let speeds = row.speeds.iter().flatten().map(|speed| units::rate(*speed));
        let label = [short(&row.label, style)].into_iter();
        label.chain(speeds).chain(verdict(Some(&row.comparison), false, scale, style)).collect()
    };
    let speeds = NAMES.map(|name| Column::new(&format!("{name} ops/s"), 3));
    let columns = [Column::new("back end", 0)].into_iter().chain(speeds.into_iter().filter(|_| has_speeds));
    let columns = columns.chain(VERDICT.map(|(name, drop)| Column::new(name, drop))).collect();
    let grid = Grid { columns, rows: rows.iter().map(cells).collect() };
    let behind = rows.iter().map(|row| {
        let [one, two] = NAMES.map(|name| format!("{} in {name}", row.label));
        why::behind(&row.comparison, &one, &two, style)
    });
    format!("{}\n{}{}", style.title(&title), grid.render(style), behind.collect::<String>())
}

fn remarks(across: &Across, style: &Style) -> String {
    let mut text = style.title("How to read this") + "\n";
    text += &labelled("ratio", "operations per second in B, divided by those in A", style);
    text += &labelled("/op, share", why::LEGEND, style);
    text += &noise_unknown(across.rows.iter().map(|row| &row.comparison), style);
    let sittings = "A and B were made one after the other: what else changed on the machine in between is part of the \
                    difference. What is to be compared closely belongs into one bench";
    text + &labelled("sittings", sittings, style)
}
