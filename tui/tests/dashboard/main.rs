//! The dashboard of the real command, in a terminal: keys, sizes, signals, and what becomes of the terminal afterwards.

mod guest;
mod terminal;

use guest::Guest;
use terminal::{Terminal, send};

/// `rumpscope run` with a guest that outlives any test.
fn start(columns: u16, rows: u16) -> Terminal {
    let arguments = ["run", "--workload", "timers", "--ncpu", "2", "--duration", "10m"];
    let mut terminal = Terminal::start(columns, rows, &arguments);
    // From the second sample on there is an interval.
    terminal.wait_for("2 virtual CPUs");
    terminal.wait_for("last ");
    terminal
}

#[test]
fn keys_lead_through_the_screens_and_out() {
    let mut terminal = start(120, 40);
    terminal.wait_for(" LIVE ");
    terminal.wait_for("Most expensive hypercalls");
    terminal.press("2");
    terminal.wait_for("family");
    terminal.press("/mutex_ent");
    terminal.wait_for("/mutex_ent_");
    terminal.press("\r");
    terminal.wait("one kind of lines alone", |terminal| {
        terminal.text().contains("mutex_enter ") && !terminal.text().contains("cv_wait ")
    });
    terminal.press("\r");
    terminal.wait_for("Percentiles");
    terminal.wait_for("Over time");
    terminal.press("\x1b");
    terminal.wait_for("family");
    terminal.press("?");
    terminal.wait_for("hold the picture");
    terminal.press("?");
    terminal.press("1");
    terminal.wait_for("Most expensive hypercalls");
    terminal.press(" ");
    terminal.wait_for(" PAUSED ");
    terminal.press(" ");
    terminal.wait_for(" LIVE ");
    terminal.press("c");
    terminal.wait_for("since start");
    terminal.press("-");
    terminal.wait_for("every 500ms");
    // All of it is drawn anew.
    terminal.forget();
    terminal.press("\x0c");
    terminal.wait_for("Most expensive hypercalls");
    terminal.press("q");
    let (status, text) = terminal.end();
    assert_eq!(status, 0, "{text}");
    // The profile is printed where the dashboard was.
    assert!(text.contains("What this does not show"), "{text}");
}

#[test]
fn it_fits_any_size() {
    let mut terminal = start(80, 24);
    terminal.resize(200, 60);
    terminal.wait_for("running over time");
    terminal.resize(60, 20);
    terminal.wait_for("60x20 is too small");
    terminal.resize(100, 30);
    terminal.wait_for("Most expensive hypercalls");
    terminal.press("q");
    assert_eq!(terminal.end().0, 0);
}

#[test]
fn the_death_of_the_guest_is_shown() {
    let mut terminal = start(120, 40);
    send(terminal.measured(), libc::SIGKILL);
    terminal.wait_for(" DEAD ");
    // It can be looked at still.
    terminal.press("2");
    terminal.wait_for("family");
    terminal.press("q");
    let (status, text) = terminal.end();
    assert_eq!(status, 128 + libc::SIGKILL as u32, "{text}");
}

#[test]
fn one_of_several_kernels_is_chosen() {
    let folder = Terminal::make_folder();
    let mut guests = [(); 3].map(|()| Guest::start(&folder));
    let pids = guests.each_ref().map(|guest| guest.pid().to_string());
    let mut terminal = Terminal::start_in(folder, 80, 24, &["top"], true);
    terminal.wait_for("3 instrumented kernels of yours run");
    pids.iter().for_each(|pid| terminal.wait_for(pid));
    // The list goes on.
    guests[0].kill();
    terminal.wait("two of them", |terminal| !terminal.text().contains(&pids[0]));
    terminal.press(&format!("/{}\r", pids[2]));
    terminal.wait("one of them", |terminal| !terminal.text().contains(&pids[1]));
    terminal.press("\r");
    terminal.wait_for(" LIVE ");
    terminal.wait_for(&format!("pid {}", pids[2]));
    terminal.press("q");
    assert_eq!(terminal.end().0, 0);
}

#[test]
fn none_of_several_kernels_is_chosen() {
    let folder = Terminal::make_folder();
    let _guests = [(); 2].map(|()| Guest::start(&folder));
    let mut terminal = Terminal::start_in(folder, 80, 24, &["top"], true);
    terminal.wait_for("2 instrumented kernels of yours run");
    terminal.press("q");
    let (status, text) = terminal.end();
    assert_eq!(status, 0, "{text}");
}

#[test]
fn signals_give_the_terminal_back() {
    for signal in [libc::SIGTERM, libc::SIGHUP, libc::SIGINT, libc::SIGQUIT] {
        let terminal = start(80, 24);
        terminal.signal(signal);
        terminal.end();
    }
}

#[test]
fn it_ends_when_its_terminal_goes_away() {
    // A terminal that is not the controlling one sends no signal.
    for controlling in [true, false] {
        let arguments = ["run", "--workload", "timers", "--ncpu", "2", "--duration", "10m", "--json", "profile.json"];
        let mut terminal = Terminal::start_in(Terminal::make_folder(), 80, 24, &arguments, controlling);
        terminal.wait_for("2 virtual CPUs");
        let measured = terminal.measured();
        let (status, folder) = terminal.hang_up();
        assert_ne!(status.exit_code(), 101, "a panic");
        // The guest has been ended, and its profile is written where there is somewhere to write it.
        let stat = std::fs::read_to_string(format!("/proc/{measured}/stat"));
        assert!(stat.is_err(), "controlling: {controlling}; the guest goes on: {stat:?}");
        let profile = std::fs::read_to_string(folder.join("profile.json")).unwrap();
        let profile: serde_json::Value = serde_json::from_str(&profile).unwrap();
        assert_eq!(profile["pid"], measured, "{profile:#}");
        std::fs::remove_dir_all(folder).unwrap();
    }
}

#[test]
fn it_stops_and_goes_on() {
    let mut terminal = start(80, 24);
    terminal.press("\x1a");
    terminal.wait("the terminal given back", |terminal| !terminal.is_taken() && terminal.is_stopped());
    terminal.signal(libc::SIGCONT);
    terminal.wait("the terminal taken again", Terminal::is_taken);
    terminal.wait_for("Most expensive hypercalls");
    terminal.signal(libc::SIGTSTP);
    terminal.wait("the terminal given back", |terminal| !terminal.is_taken() && terminal.is_stopped());
    terminal.signal(libc::SIGCONT);
    terminal.wait("the terminal taken again", Terminal::is_taken);
    terminal.press("q");
    assert_eq!(terminal.end().0, 0);
}

#[test]
fn what_is_shown_is_saved_and_recorded_and_played_back() {
    let mut terminal = start(120, 40);
    terminal.press("s");
    terminal.wait_for("saved ");
    let report = std::fs::read_dir(&terminal.folder).unwrap().flatten().map(|entry| entry.path());
    let saved: Vec<_> =
        report.filter(|path| path.extension().is_some_and(|end| end == "txt" || end == "json")).collect();
    assert_eq!(saved.len(), 2, "{saved:?}");
    terminal.press("r");
    terminal.wait_for("REC ");
    terminal.press("-");
    terminal.wait_for("every 500ms");
    // A recording has an interval when three samples have come.
    let up =
        |text: &str| text.split(" up ").nth(1).and_then(|after| after.split_whitespace().next().map(str::to_owned));
    for _ in 0..4 {
        let before = up(&terminal.text());
        terminal.wait("another sample", move |terminal| up(&terminal.text()) != before);
    }
    terminal.press("r");
    terminal.wait_for("recorded in ");
    let mut recording = std::fs::read_dir(&terminal.folder).unwrap().flatten().map(|entry| entry.path());
    let recording = recording.find(|path| path.extension().is_some_and(|end| end == "rsr")).unwrap();
    // Its folder goes with the terminal.
    let kept = terminal.folder.with_extension("rsr");
    std::fs::rename(&recording, &kept).unwrap();
    terminal.press("q");
    assert_eq!(terminal.end().0, 0);

    let mut terminal = Terminal::start(120, 40, &["replay", kept.to_str().unwrap()]);
    terminal.wait_for("2 virtual CPUs");
    terminal.wait_for("sample ");
    terminal.press("b");
    terminal.wait_for(" PAUSED ");
    terminal.press("g");
    terminal.wait_for("sample 1 of ");
    terminal.press("l");
    terminal.wait_for("sample 2 of ");
    terminal.press("]");
    terminal.wait_for("x2 ");
    terminal.press("q");
    assert_eq!(terminal.end().0, 0);
    std::fs::remove_file(&kept).unwrap();
}
