//! A flame graph as one file of SVG: boxes tell their figures when they are pointed at; a click magnifies one, and `/`
//! looks for names, where the viewer runs scripts.

use super::{Node, Slab, slabs};
use crate::contention::offcpu::{CALL, SEPARATOR, Stacks};
use crate::contention::short;
use crate::units;
use std::fmt::Write;

/// What stands around the picture.
#[derive(Clone, Debug)]
pub struct Caption {
    /// What is shown.
    pub title: String,
    /// Of what, and how much of it.
    pub subtitle: String,
    /// The name of the lowest box: what all stacks have in common.
    pub root: String,
}

/// Of the whole picture, in pixels.
const WIDTH: f64 = 1200.0;
/// At its left and right.
const MARGIN: f64 = 10.0;
/// Of a row of boxes.
const ROW: f64 = 17.0;
/// Above the boxes.
const HEAD: f64 = 62.0;
/// Boxes narrower than this are left out: nobody could point at them.
const NARROWEST: f64 = 0.1;
/// Of a letter of the boxes' font, 11 pixels high and all as wide.
const LETTER: f64 = 6.7;

/// The picture.
pub fn draw(stacks: &Stacks, caption: &Caption) -> String {
    let root = Node::new(stacks);
    let room = WIDTH - 2.0 * MARGIN;
    let all = root.total.max(1) as f64;
    let slabs = slabs(&root, &caption.root, (NARROWEST * all / room).ceil() as u64);
    let rows = slabs.iter().map(|slab| slab.depth + 1).max().unwrap_or(1);
    let height = HEAD + rows as f64 * ROW + MARGIN;
    let mut svg = String::new();
    let _ = writeln!(
        svg,
        "<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"no\"?>\n\
         <svg xmlns=\"http://www.w3.org/2000/svg\" version=\"1.1\" width=\"{WIDTH}\" height=\"{height}\" \
         viewBox=\"0 0 {WIDTH} {height}\">\n<style>{}</style>\n\
         <rect class=\"paper\" width=\"100%\" height=\"100%\"/>\n\
         <text class=\"title\" x=\"{}\" y=\"24\">{}</text>\n\
         <text class=\"note\" x=\"{MARGIN}\" y=\"44\">{}</text>\n\
         <text class=\"note button\" id=\"search\" x=\"{}\" y=\"24\"></text>\n\
         <text class=\"note\" id=\"found\" x=\"{}\" y=\"44\"></text>\n<g id=\"boxes\">",
        include_str!("style.css"),
        WIDTH / 2.0,
        escaped(&caption.title),
        escaped(&caption.subtitle),
        WIDTH - MARGIN,
        WIDTH - MARGIN,
    );
    for slab in &slabs {
        let x = MARGIN + slab.begin as f64 / all * room;
        let y = HEAD + (rows - 1 - slab.depth) as f64 * ROW;
        let width = slab.total as f64 / all * room;
        let _ = writeln!(
            svg,
            "<g><title>{} ({}, {})</title><rect x=\"{x:.3}\" y=\"{y}\" width=\"{width:.3}\" height=\"{}\" fill=\"{}\"/>\
             <text x=\"{:.3}\" y=\"{}\">{}</text></g>",
            escaped(slab.name),
            units::time(slab.total as f64, true),
            units::percent(slab.total as f64 / all),
            ROW - 1.0,
            colour(slab),
            x + 3.0,
            y + ROW - 5.0,
            escaped(&clipped(&short(slab.name), width)),
        );
    }
    // The script has no "]]>" in it; a test parses the whole.
    let _ = writeln!(svg, "</g>\n<script><![CDATA[\n{}]]></script>\n</svg>", include_str!("script.js"));
    svg
}

/// As much of the name as a box has room for.
fn clipped(name: &str, width: f64) -> String {
    let room = ((width - 6.0) / LETTER).max(0.0) as usize;
    match name.chars().count() {
        length if length <= room => name.to_owned(),
        _ if room < 4 => String::new(),
        _ => name.chars().take(room - 2).chain("..".chars()).collect(),
    }
}

/// Blue for waiters, green for holders, and what lies between them in colours of its own. A name has always the same.
fn colour(slab: &Slab) -> String {
    // FNV-1a, 32 bits: short, and spreads names that are alike.
    let hash = slab.name.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    let hue = match slab.name {
        _ if slab.depth == 0 => return "#c9c9c9".to_owned(),
        SEPARATOR => return "#8a8a8a".to_owned(),
        name if name.starts_with('[') => 28,
        name if name.starts_with(CALL) => 268,
        _ if slab.holder => 120,
        _ => 205,
    };
    let (hue, saturation, lightness) = (hue + hash % 21, 45 + hash / 21 % 25, 66 + hash / 525 % 14);
    format!("hsl({hue},{saturation}%,{lightness}%)")
}

/// Text for XML, in ASCII. Characters that XML has no way to write become U+FFFD.
fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for letter in text.chars() {
        match letter {
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            ' '..='~' => escaped.push(letter),
            '\u{fffe}' | '\u{ffff}' => escaped.push_str("&#xfffd;"),
            _ if letter.is_control() => escaped.push_str("&#xfffd;"),
            _ => {
                let _ = write!(escaped, "&#x{:x};", letter as u32);
            }
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contention::{offcpu, testing};
    use proptest::prelude::*;

    fn caption() -> Caption {
        Caption { title: "Off-CPU".into(), subtitle: "4711, 2.00s".into(), root: "all".into() }
    }

    /// Every box: title, x, width and text.
    fn boxes(svg: &str) -> Vec<(String, f64, f64, String)> {
        let document = roxmltree::Document::parse(svg).unwrap_or_else(|error| panic!("{error}: {svg}"));
        let boxes = document.descendants().find(|node| node.attribute("id") == Some("boxes")).unwrap();
        let one = |group: roxmltree::Node| {
            let child =
                |name| group.children().find(|node| node.has_tag_name(("http://www.w3.org/2000/svg", name))).unwrap();
            let number = |name| child("rect").attribute(name).unwrap().parse().unwrap();
            let text = |name| child(name).text().unwrap_or_default().to_owned();
            (text("title"), number("x"), number("width"), text("text"))
        };
        boxes.children().filter(roxmltree::Node::is_element).map(one).collect()
    }

    #[test]
    fn a_picture_of_the_example() {
        let stacks = offcpu::stacks(&testing::waiting(), true);
        let svg = draw(&stacks, &caption());
        assert!(svg.is_ascii());
        assert_eq!(svg, draw(&stacks, &caption()));
        let boxes = boxes(&svg);
        assert_eq!((boxes[0].0.as_str(), boxes[0].1, boxes[0].2), ("all (3.92s, 100%)", 10.0, 1180.0));
        let client = boxes.iter().find(|each| each.0.starts_with("client 1 ")).unwrap();
        assert_eq!((client.0.as_str(), client.3.as_str()), ("client 1 (1.00s, 25.5%)", "client 1"));
        assert!((client.2 - 1180.0 * 1.0 / 3.925).abs() < 0.01, "{client:?}");
    }

    #[test]
    fn deep_and_wide_stacks_fit() {
        let deep: Vec<_> = (0..2_000).map(|depth| format!("f{depth}")).collect();
        let wide = (0..20_000_u64).map(|number| (vec![format!("g{number}")], number));
        let svg = draw(&wide.chain([(deep, 1 << 24)]).collect(), &caption());
        let boxes = boxes(&svg);
        assert!(boxes.iter().all(|each| each.2 >= NARROWEST && each.1 + each.2 <= WIDTH - MARGIN + 0.01));
        assert!((2_001..22_000).contains(&boxes.len()), "{}", boxes.len());
    }

    #[test]
    fn nothing_is_a_picture_too() {
        assert_eq!(boxes(&draw(&Stacks::new(), &caption())).len(), 1);
    }

    proptest! {
        #[test]
        fn whatever_a_name_is_the_file_is_well_formed(name: String, title: String) {
            let stacks = Stacks::from([(vec![name.clone()], 1_000)]);
            let svg = draw(&stacks, &Caption { title, ..caption() });
            prop_assert!(svg.is_ascii());
            let shown = &boxes(&svg)[1].0;
            if !name.chars().any(|letter| letter.is_control() || letter >= '\u{fffe}') {
                prop_assert_eq!(shown, &format!("{name} (1.00us, 100%)"));
            }
        }
    }
}
