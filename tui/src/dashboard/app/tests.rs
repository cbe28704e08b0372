//! What the dashboard shows and does, without a terminal.

use super::*;
use crate::dashboard::testing::{self, check, screenshot, spread};
use ratatui::crossterm::event::{KeyCode, KeyModifiers};
use rumpscope_probes::{Metric, Place};
use std::time::Duration;

fn press(app: &mut App, keys: &str) -> Wish {
    let mut wish = Wish::None;
    for character in keys.chars() {
        let code = match character {
            '\n' => KeyCode::Enter,
            '\x1b' => KeyCode::Esc,
            character => KeyCode::Char(character),
        };
        wish = app.key(KeyEvent::new(code, KeyModifiers::NONE));
    }
    wish
}

fn app(vcpus: u16, samples: u64) -> App {
    testing::app(testing::samples(vcpus, samples))
}

/// Each of our screens on terminals from the least to a very large one.
#[test]
fn the_screens_look_as_people_have_seen_them() {
    let screens = [("overview", "1"), ("hypercalls", "2"), ("hypercall", "2\n"), ("heatmap", "6")];
    for (width, height) in [(80, 24), (120, 40), (200, 60)] {
        let mut app = app(8, 90);
        for (name, keys) in screens {
            // Of the list, cv_wait is opened.
            press(&mut app, keys);
            check(&format!("{name}-{width}x{height}.txt"), &screenshot(&mut app, width, height));
            press(&mut app, "\x1b");
        }
    }
}

#[test]
fn it_is_told_for_how_long_threads_were_gathered() {
    let mut samples = testing::samples(2, 4);
    let picture = |samples: &[_]| screenshot(&mut testing::app(samples.to_vec()), 120, 40);
    assert!(!picture(&samples).contains("gathered"));
    // For a quarter of the last second.
    let ticks = testing::clock().ticks_per_second as u64 / 4;
    let quarter = spread(1, ticks, ticks);
    samples[3].snapshot.cells.insert((Place::OffCpu, Metric::GATHERED), quarter);
    assert!(picture(&samples).contains("gathered 25.0%"));
}

#[test]
fn a_recording_is_seen_whole_and_gone_through() {
    let samples = testing::samples(4, 60);
    for (width, height) in [(80, 24), (120, 40), (200, 60)] {
        let mut app = testing::replay(&format!("{width}x{height}"), &samples);
        press(&mut app, "LLLLLLLL");
        check(&format!("replay-{width}x{height}.txt"), &screenshot(&mut app, width, height));
        // The graph is above the keys; its middle is half the time.
        press(&mut app, "g");
        screenshot(&mut app, width, height);
        app.mouse(Mouse::Click, Position::new(if width == 80 { 26 } else { width / 2 }, height - 2));
        let picture = screenshot(&mut app, width, height);
        assert!((28..=32).any(|sample| picture.contains(&format!("sample {sample} of 60"))), "{picture}");
        press(&mut app, "G");
        assert!(screenshot(&mut app, width, height).contains("sample 60 of 60"));
    }
}

#[test]
fn many_virtual_cpus_have_room() {
    for (vcpus, width, height) in [(1, 80, 24), (64, 80, 24), (64, 200, 60), (256, 80, 24)] {
        let picture = screenshot(&mut app(vcpus, 12), width, height);
        check(&format!("overview-{vcpus}-{width}x{height}.txt"), &picture);
    }
}

#[test]
fn too_small_is_said_and_nothing_breaks() {
    let mut app = app(8, 10);
    assert_eq!(screenshot(&mut app, 70, 20).lines().next(), Some("70x20 is too small: 80x24 is the least"));
    for keys in ["1", "2", "2\n", "3", "4", "5", "6", "?"] {
        press(&mut app, keys);
        for (width, height) in [(1, 1), (3, 90), (300, 2), (80, 24), (81, 25), (300, 100), (110, 34), (500, 24)] {
            screenshot(&mut app, width, height);
        }
    }
}

#[test]
fn a_frozen_picture_stays_while_samples_come() {
    let samples = testing::samples(2, 6);
    let mut app = testing::app(samples[..3].to_vec());
    press(&mut app, " ");
    let held = screenshot(&mut app, 80, 24);
    assert!(held.starts_with(" PAUSED "), "{held}");
    assert!(!app.is_dirty());
    for sample in &samples[3..] {
        app.take(News::Sample(Arc::new(sample.clone())));
    }
    assert!(!app.is_dirty(), "nothing new is to be seen");
    assert_eq!(screenshot(&mut app, 80, 24), held);
    // The heat map does not call it now.
    press(&mut app, "6");
    let heat = screenshot(&mut app, 80, 24);
    assert!(heat.contains(" held\n") && !heat.contains(" now\n"), "{heat}");
    press(&mut app, "1 ");
    let now = screenshot(&mut app, 80, 24);
    assert!(now.starts_with(" LIVE ") && now.contains("up 6.00s"), "{now}");
}

#[test]
fn a_key_without_a_meaning_draws_nothing_and_holds_no_sample_back() {
    let samples = testing::samples(2, 3);
    let mut app = testing::app(samples[..2].to_vec());
    screenshot(&mut app, 80, 24);
    press(&mut app, "\u{7f}");
    assert!(!app.is_dirty());
    app.take(News::Sample(Arc::new(samples[2].clone())));
    press(&mut app, "\u{7f}");
    assert!(app.is_dirty());
}

#[test]
fn all_since_the_start_or_the_last_interval() {
    let mut app = app(2, 5);
    assert!(screenshot(&mut app, 80, 24).contains("last 1.00s"));
    press(&mut app, "c");
    assert!(screenshot(&mut app, 80, 24).contains("since start"));
}

#[test]
fn the_end_of_a_kernel_is_a_state() {
    let mut samples = testing::samples(2, 3);
    samples[2].state = State::Dead;
    let mut app = testing::app(samples);
    app.cut_off();
    assert!(screenshot(&mut app, 80, 24).starts_with(" DEAD "));
}

#[test]
fn trouble_is_told_as_long_as_it_lasts() {
    let samples = testing::samples(2, 3);
    let mut app = testing::app(samples[..2].to_vec());
    app.take(News::Trouble("the segment is damaged: it is cut short".into()));
    let picture = screenshot(&mut app, 80, 24);
    assert!(picture.starts_with(" LOST ") && picture.contains("it is cut short"), "{picture}");
    app.take(News::Sample(Arc::new(samples[2].clone())));
    assert!(screenshot(&mut app, 80, 24).starts_with(" LIVE "));
    app.cut_off();
    let picture = screenshot(&mut app, 80, 24);
    assert!(picture.starts_with(" LOST ") && picture.contains("no more samples come"), "{picture}");
}

#[test]
fn another_process_is_told() {
    let samples = testing::samples(2, 3);
    let mut app = testing::app(samples.clone());
    let mut other = samples[2].clone();
    other.snapshot.process.pid = 99;
    app.take(News::Sample(Arc::new(other)));
    let picture = screenshot(&mut app, 80, 24);
    assert!(picture.contains("another process is measured now") && picture.contains("pid 99"), "{picture}");
}

#[test]
fn losses_are_never_left_out() {
    let mut samples = testing::samples(2, 3);
    samples[2].missed = 7;
    samples[2].snapshot.coverage.lost_timings = 12_345;
    let picture = screenshot(&mut testing::app(samples), 80, 24);
    assert!(picture.contains("lost 7 samples, 12.3k timings"), "{picture}");
}

/// What an outline does not tell is not shown as nothing, neither of it nor of the time from it to the next sample.
#[test]
fn an_outline_is_told() {
    let mut samples = testing::outlined(2);
    samples[1].precision = rumpscope_reports::Precision { counts: 5, times: 3 };
    let last = samples.pop().unwrap();
    let mut app = testing::app(samples);
    let call = |picture: &str| picture.lines().find(|line| line.contains("cv_wait")).map(str::to_owned).unwrap();
    let without_percentiles = |app: &mut App| {
        press(app, "2");
        let picture = screenshot(app, 120, 40);
        let call = call(&picture);
        assert_eq!(call.split_whitespace().filter(|word| *word == "-").count(), 4, "{picture}");
        picture
    };
    let head = |picture: &str| picture.lines().next().unwrap().to_owned();
    let told = head(&without_percentiles(&mut app));
    assert!(told.contains("  outline  ") && told.contains("  counts within 1/32, times within 1/8  "), "{told}");
    press(&mut app, "4");
    let picture = screenshot(&mut app, 120, 40);
    assert!(picture.contains("the recording has an outline of this time"), "{picture}");
    press(&mut app, "5");
    let picture = screenshot(&mut app, 120, 40);
    assert!(picture.contains("client 1"), "{picture}");
    app.take(News::Sample(Arc::new(last)));
    // Those of all the time between the whole ones.
    press(&mut app, "2");
    let picture = screenshot(&mut app, 120, 40);
    assert!(!call(&picture).contains(" - ") && !picture.contains("outline"), "{picture}");
    assert!(head(&picture).contains("last 1.00s  percentiles of 2.00s  counts within 1/32"), "{picture}");
    press(&mut app, "4");
    let picture = screenshot(&mut app, 120, 40);
    assert!(picture.contains("rwlock") && !picture.contains("outline"), "{picture}");
}

#[test]
fn a_recording_that_ended_early_is_told_until_it_has_been_read() {
    let why = "the recording run.rsr ends after 7 samples, which are kept: cannot write to it: No space left on device";
    let mut app = testing::app_in_trouble(testing::samples(2, 3), Some(why));
    assert!(!screenshot(&mut app, 120, 40).contains(why));
    app.tick(Instant::now());
    assert!(app.is_dirty() && screenshot(&mut app, 120, 40).contains(why));
    app.tick(Instant::now() + Duration::from_secs(60));
    assert!(screenshot(&mut app, 120, 40).contains(why));
    press(&mut app, "\x1b");
    app.tick(Instant::now());
    assert!(!screenshot(&mut app, 120, 40).contains(why));
}

#[test]
fn intervals_go_up_and_down_within_bounds() {
    let mut app = app(2, 3);
    let interval = |app: &App| app.live().unwrap().interval();
    press(&mut app, "+");
    assert_eq!(interval(&app), Duration::from_secs(2));
    press(&mut app, "----------");
    assert_eq!(interval(&app), Duration::from_millis(100));
    press(&mut app, "++++++++++");
    assert_eq!(interval(&app), Duration::from_secs(60));
    // The command line has more than these steps.
    for (begin, keys, after) in
        [(10, "-", 10), (10, "+", 100), (300, "-", 200), (300, "+", 500), (90_000, "-", 60_000), (90_000, "+", 90_000)]
    {
        let Feed::Live(live) = &mut app.feed else { panic!("a recording") };
        live.set_interval(Duration::from_millis(begin));
        press(&mut app, keys);
        assert_eq!(interval(&app), Duration::from_millis(after), "{begin} {keys}");
    }
}

#[test]
fn recording_is_shown_and_told() {
    let mut app = app(2, 3);
    press(&mut app, "r");
    let picture = screenshot(&mut app, 80, 24);
    assert!(picture.contains("REC kernel.rsr") && picture.contains(" records"), "{picture}");
    press(&mut app, "r");
    assert!(!screenshot(&mut app, 80, 24).contains("REC"));
}

#[test]
fn a_report_that_cannot_be_saved_is_told() {
    let mut app = app(2, 3);
    press(&mut app, "s");
    let picture = screenshot(&mut app, 120, 40);
    assert!(picture.contains("cannot make /nowhere/rumpscope-4711-1.txt"), "{picture}");
}

#[test]
fn before_the_first_sample_there_is_nothing_to_break() {
    let mut app = testing::app(Vec::new());
    for keys in [" ", "c", "s", "r", "/", "\n", "\x1b", "2", "?", "?", "+"] {
        press(&mut app, keys);
        assert!(screenshot(&mut app, 80, 24).contains("waiting for the first sample"));
    }
    app.mouse(Mouse::Click, Position::new(3, 3));
    assert_eq!(press(&mut app, "q"), Wish::Quit);
}

/// What is opened on a screen is left by the same keys, and the arrows lead to the next of it.
#[test]
fn what_is_opened_leads_to_the_next() {
    for screen in ["2", "3"] {
        let mut app = app(2, 8);
        press(&mut app, screen);
        let list = screenshot(&mut app, 80, 24);
        press(&mut app, "\n");
        let first = screenshot(&mut app, 80, 24);
        press(&mut app, "j");
        let second = screenshot(&mut app, 80, 24);
        assert!(list != first && first != second, "{first}");
        press(&mut app, "k");
        assert_eq!(screenshot(&mut app, 80, 24), first);
        press(&mut app, "\x1b");
        assert_eq!(screenshot(&mut app, 80, 24), list);
    }
}

#[test]
fn the_mouse_chooses_a_screen() {
    let mut app = app(2, 3);
    screenshot(&mut app, 80, 24);
    app.mouse(Mouse::Click, Position::new(16, 1));
    assert!(screenshot(&mut app, 80, 24).contains("9 hypercalls"));
}

#[test]
fn ascii_is_ascii() {
    let mut app = app(8, 40);
    app.theme.ascii = true;
    for keys in ["1", "2", "2\n", "\x1b3", "?"] {
        press(&mut app, keys);
        let picture = screenshot(&mut app, 120, 40);
        assert!(picture.is_ascii(), "{picture}");
    }
}

/// Pictures in the documents are drawn by the dashboard itself; `UPDATE_GOLDEN=1` draws them anew.
#[test]
fn the_documents_show_what_there_is() {
    let picture = screenshot(&mut app(4, 75), 100, 30);
    let mut pictures = 0;
    for name in ["README.md", "docs/dashboard.md"] {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name);
        let text = std::fs::read_to_string(&path).unwrap();
        const MARK: &str = "<!-- picture: overview -->\n```\n";
        let Some((before, rest)) = text.split_once(MARK) else { continue };
        let (shown, after) = rest.split_once("```").unwrap();
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&path, format!("{before}{MARK}{picture}```{after}")).unwrap();
        } else {
            assert!(shown == picture, "{name} shows something else:\n{picture}");
        }
        pictures += 1;
    }
    assert!(pictures > 0, "no document has a picture");
}
