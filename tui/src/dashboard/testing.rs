//! Hand-made samples for tests: a kernel with a disk and clients, always the same.

mod contention;

pub use contention::waiting;
pub use rumpscope_reports::testing::{Known, MICROSECOND, spread};

use super::app::App;
use super::keys::KeyMap;
use super::model::History;
use super::scene::Scene;
use super::screen::{Screen, Size, View};
use super::source::{Live, News, Source};
use super::theme::{Palette, Theme};
use crossbeam_channel::{Receiver, never};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use rumpscope_probes::{
    Activity, ClockInfo, ClockSource, Coverage, Distribution, Hypercall, Metric, Mode, Place, Process, Quantity,
    Snapshot, Thread, ThreadTotals, VcpuNow,
};
use rumpscope_reports::recording::{About, Player, Recorder, Recording};
use rumpscope_reports::{Counter, Ended, Event, Host, HostThread, Precision, Ran, Sample, State};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

const SECOND: u64 = 1_000_000 * MICROSECOND;

/// The clock: two ticks are a nanosecond.
pub fn clock() -> ClockInfo {
    ClockInfo { source: ClockSource::Tsc, ticks_per_second: SECOND as f64, two_reads_ns: 19.4, step_ns: 10.0 }
}

fn sampled(count: u64, mut timed: Distribution) -> Distribution {
    timed.untimed = count.saturating_sub(timed.count());
    timed
}

/// `count` samples of a kernel with `vcpus` virtual CPUs, one each second, beginning one second after its start.
pub fn samples(vcpus: u16, count: u64) -> Vec<Sample> {
    let mut cells = BTreeMap::<(Place, Metric), Distribution>::new();
    (1..=count)
        .map(|second| {
            (0..vcpus).for_each(|index| work(&mut cells, index, second));
            Sample {
                snapshot: snapshot(&cells, vcpus, second),
                state: State::Alive,
                threads: host_threads(vcpus, second),
                missed: 0,
                precision: Precision::EXACT,
            }
        })
        .collect()
}

/// How much there is to do in a second, 0 to 1: it comes and goes.
fn load(index: u16, second: u64) -> f64 {
    let phase = second as f64 / 7.0 + f64::from(index);
    (0.55 + 0.35 * phase.sin()) / (1.0 + f64::from(index) / 8.0)
}

/// What virtual CPU `index` does in a second.
fn work(cells: &mut BTreeMap<(Place, Metric), Distribution>, index: u16, second: u64) {
    let load = load(index, second);
    let times = |most: f64| (most * load) as u64 + 1;
    let us = |microseconds: f64| (microseconds * MICROSECOND as f64) as u64;
    let here = Place::Vcpu(index);
    let mut add = |place, quantity, call, distribution: Distribution| {
        cells.entry((place, Metric { quantity, call })).or_default().merge(&distribution);
    };
    add(here, Quantity::Call, Hypercall::MutexEnter, sampled(times(40_000.0), spread(times(400.0), 50, 180)));
    add(here, Quantity::Slow, Hypercall::MutexEnter, spread(times(60.0), us(0.5), us(900.0 * load)));
    add(here, Quantity::Call, Hypercall::MutexExit, sampled(times(40_000.0), spread(times(400.0), 30, 90)));
    add(here, Quantity::Call, Hypercall::Curlwp, sampled(times(90_000.0), spread(times(90.0), 20, 40)));
    add(here, Quantity::Call, Hypercall::ClockGettime, spread(times(900.0), 80, 700));
    for (call, most, off) in [
        (Hypercall::CvWait, 420.0, 40_000.0),
        (Hypercall::CvTimedwait, 30.0, 90_000.0),
        (Hypercall::Bio, 260.0, 9_000.0 + 30_000.0 * load),
        (Hypercall::ClockSleep, 20.0, 12_000.0),
        (Hypercall::RwEnter, 25.0, 2_000.0),
    ] {
        let count = times(most);
        add(here, Quantity::Call, call, spread(count, us(8.0), us(off + 300.0)));
        add(here, Quantity::Own, call, spread(count, us(0.4), us(3.0)));
        add(here, Quantity::Unschedule, call, spread(count, us(0.1), us(2.0)));
        add(Place::OffCpu, Quantity::Off, call, spread(count, us(6.0), us(off)));
        add(here, Quantity::SlowReschedule, call, spread(count, us(0.2), us(1_500.0 * load)));
        add(here, Quantity::Run, call, spread(count, us(4.0), us(2_500.0)));
        add(here, Quantity::Gap, call, spread(count, us(0.3), us(3_000.0 * (1.0 - load))));
        add(here, Quantity::Spin, call, spread(count / 2, us(0.5), us(20.0)));
        if count > 30 {
            add(here, Quantity::Migration, call, sampled(count / 8, Distribution::default()));
        }
    }
    add(here, Quantity::Run, Hypercall::GuestEntry, spread(times(700.0), us(1.0), us(600.0)));
    add(here, Quantity::Gap, Hypercall::GuestEntry, spread(times(700.0), us(0.1), us(900.0)));
    add(here, Quantity::Unschedule, Hypercall::GuestEntry, sampled(times(700.0), spread(9, 200, 500)));
}

/// Names of threads; each virtual CPU has three.
fn thread_name(number: u32) -> String {
    match number {
        0 => "main".to_owned(),
        1 => "ioflush".to_owned(),
        2 => "softint/0".to_owned(),
        number => format!("client {}", number - 2),
    }
}

fn snapshot(cells: &BTreeMap<(Place, Metric), Distribution>, vcpus: u16, second: u64) -> Snapshot {
    let began = 7 * SECOND;
    let taken = began + second * SECOND;
    let threads = (0..u32::from(vcpus) * 3).map(|number| {
        let now = match number % 3 {
            0 => Activity::Untold,
            1 => Activity::Blocked { call: Hypercall::CvWait, since: taken - 900 * u64::from(number) * MICROSECOND },
            _ => Activity::WantsVcpu { call: Hypercall::Bio, since: taken - u64::from(number) * MICROSECOND },
        };
        let each = second * SECOND / 10 * u64::from(number % 5 + 1);
        Thread {
            lane: number,
            tid: 4712 + number,
            name: thread_name(number),
            now,
            totals: ThreadTotals {
                calls: second * 1_000 * u64::from(number + 1),
                run: each,
                off: second * SECOND - each,
                wanted: each / 20,
                migrations: second * u64::from(number % 4),
            },
        }
    });
    let vcpu = |index: u16| {
        let free = (u64::from(index) + second) % 4 == 3;
        VcpuNow {
            index,
            holder: (!free).then(|| (u32::from(index) * 3, taken - 40 * MICROSECOND * (u64::from(index) + 1))),
            free_since: free.then(|| taken - 2_000 * MICROSECOND),
        }
    };
    Snapshot {
        process: Process {
            pid: 4711,
            start_time: 99,
            program: "rump_server".to_owned(),
            began_unix_ns: 1_764_000_000_000_000_000,
        },
        clock: clock(),
        mode: Mode::Full,
        backend: "native, uring".to_owned(),
        began,
        taken,
        coverage: Coverage { vcpus_known: true, guest_transitions_seen: true, ..Coverage::default() },
        vcpus: (0..vcpus).map(vcpu).collect(),
        migrations: migrations(cells, vcpus),
        threads: threads.collect(),
        contention: contention::contention(second).into(),
        contention_as_of: None,
        cells: cells.clone(),
    }
}

/// As many as the counters say that came to each virtual CPU, from the others in turn.
fn migrations(cells: &BTreeMap<(Place, Metric), Distribution>, vcpus: u16) -> BTreeMap<(u16, u16), u64> {
    let mut migrations = BTreeMap::new();
    for ((place, metric), distribution) in cells {
        let (Place::Vcpu(to), Quantity::Migration) = (*place, metric.quantity) else { continue };
        let others: Vec<u16> = (1..vcpus).map(|step| (to + step) % vcpus).collect();
        let mut left = distribution.count();
        for (index, from) in others.iter().enumerate() {
            // The nearest one gets half of what is left, and the last one the rest.
            let part = if index + 1 == others.len() { left } else { left / 2 };
            *migrations.entry((*from, to)).or_default() += part;
            left -= part;
        }
    }
    migrations.retain(|_, count| *count != 0);
    migrations
}

fn host_threads(vcpus: u16, second: u64) -> Vec<HostThread> {
    let thread = |number: u32| {
        let each = u64::from(number + 1) * second;
        let counter = |event: Event| match event {
            Event::CacheMisses => Counter::Missing("the processor has no such counter".to_owned()),
            Event::Migrations => Counter::Counts { value: each, enabled_ns: second * 1_000_000_000, running_ns: 0 },
            _ => Counter::Counts {
                value: each * 1_000_000,
                enabled_ns: second * 1_000_000_000,
                running_ns: second * 500_000_000,
            },
        };
        HostThread {
            tid: 4712 + number,
            name: thread_name(number),
            state: if number.is_multiple_of(3) { 'R' } else { 'S' },
            cpu_ns: each * 30_000_000,
            ready_ns: each * 1_000_000,
            voluntary_switches: each * 400,
            involuntary_switches: each * 3,
            minor_faults: each * 7,
            major_faults: 0,
            counters: Event::ALL.map(counter).to_vec(),
        }
    };
    (0..u32::from(vcpus) * 3).map(thread).collect()
}

/// Three samples, as a recording has them that has an outline of the second.
pub fn outlined(vcpus: u16) -> Vec<Sample> {
    let mut samples = samples(vcpus, 3);
    samples[1] = outline(&samples[0].snapshot, &samples[1]);
    samples
}

/// The outline of `sample`; `before` was the last whole one.
pub fn outline(before: &Snapshot, sample: &Sample) -> Sample {
    let mut outline = sample.clone();
    outline.snapshot.contention = before.contention.clone();
    outline.snapshot.contention_as_of = Some(before.taken);
    for (key, cell) in &mut outline.snapshot.cells {
        let (timed, untimed, sum) = (cell.timed(), cell.untimed, cell.sum);
        *cell = before.cells.get(key).cloned().unwrap_or_default();
        (cell.untimed, cell.sum, cell.unplaced) = (untimed, sum, timed - cell.timed());
    }
    outline.threads.iter_mut().for_each(|thread| thread.counters.clear());
    outline
}

/// The history of `count` intervals of that kernel.
pub fn history(vcpus: u16, count: u64) -> History {
    let (scene, theme, keys) = (scene(vcpus, count + 1), Theme::default(), KeyMap::default());
    view(&scene, &theme, &keys, Rect::default()).history.clone()
}

/// What is shown after `count` samples.
pub fn scene(vcpus: u16, count: u64) -> Scene {
    let mut samples = samples(vcpus, count).into_iter().map(Arc::new);
    let mut scene = Scene::new(samples.next().expect("at least one sample"), false);
    samples.for_each(|sample| {
        scene.push(sample);
    });
    scene
}

/// A kernel that runs as a test says.
#[derive(Debug)]
pub struct Scripted {
    news: Receiver<News>,
    interval: Duration,
    recording: Option<String>,
    trouble: Option<String>,
}

impl Live for Scripted {
    fn news(&self) -> &Receiver<News> {
        &self.news
    }

    fn interval(&self) -> Duration {
        self.interval
    }

    fn set_interval(&mut self, interval: Duration) {
        self.interval = interval;
    }

    fn recording(&self) -> Option<String> {
        self.recording.clone()
    }

    fn toggle_recording(&mut self) -> anyhow::Result<String> {
        self.recording = if self.recording.is_some() { None } else { Some("kernel.rsr".to_owned()) };
        Ok(if self.recording.is_some() { "records" } else { "has recorded" }.to_owned())
    }

    fn trouble(&mut self) -> Option<String> {
        self.trouble.take()
    }

    fn save_trace(&mut self) -> anyhow::Result<String> {
        Ok("rumpscope-4711-1.pftrace: 5.00s of 6 threads".to_owned())
    }
}

/// A dashboard of a kernel of which `samples` have come.
pub fn app(samples: Vec<Sample>) -> App {
    app_in_trouble(samples, None)
}

/// The same, with a recording that has ended early for this reason.
pub fn app_in_trouble(samples: Vec<Sample>, trouble: Option<&str>) -> App {
    let trouble = trouble.map(str::to_owned);
    let scripted = Scripted { news: never(), interval: Duration::from_secs(1), recording: None, trouble };
    let theme = Theme { palette: Palette::None, ascii: false };
    let mut app = App::new(Source::Live(Box::new(scripted)), theme, KeyMap::default(), PathBuf::from("/nowhere"), 0);
    samples.into_iter().for_each(|sample| app.take(News::Sample(Arc::new(sample))));
    app
}

/// A dashboard of a recording of these samples, which stands at the second one, and not by itself.
pub fn replay(name: &str, samples: &[Sample]) -> App {
    let path = std::env::temp_dir().join(format!("rumpscope-replay-{}-{name}.rsr", std::process::id()));
    let about = About { ran: Ran::Program { command: vec!["rump_server".to_owned()] }, host: Host::this() };
    let mut recorder = Recorder::create(&path, &about).expect("a file");
    samples.iter().for_each(|sample| recorder.add(sample).expect("a sample"));
    recorder.finish(&Ended::Gone).expect("an end");
    let mut player = Player::new(Recording::open(&path).expect("a recording")).expect("samples");
    // Who has it open reads it still.
    std::fs::remove_file(&path).expect("the file");
    player.pause();
    let theme = Theme { palette: Palette::None, ascii: false };
    let mut app = App::new(Source::Replay(Box::new(player)), theme, KeyMap::default(), PathBuf::from("/nowhere"), 0);
    app.tick(Instant::now());
    app
}

/// What a dashboard shows on a terminal of this size.
pub fn screenshot(app: &mut App, width: u16, height: u16) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("a terminal in memory");
    terminal
        .draw(|frame| {
            let area = frame.area();
            app.draw(area, frame.buffer_mut());
        })
        .expect("memory can be drawn to");
    text_of(terminal.backend().buffer())
}

/// The characters of a buffer, a line each, without the spaces at their ends.
pub fn text_of(buffer: &Buffer) -> String {
    let mut text = String::new();
    for y in buffer.area.top()..buffer.area.bottom() {
        let line: String = (buffer.area.left()..buffer.area.right()).map(|x| buffer[(x, y)].symbol()).collect();
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// What `screen` shows of `scene` on a terminal of this size, of which head and foot are left out.
pub fn picture(screen: &mut dyn Screen, scene: &Scene, width: u16, height: u16) -> String {
    picture_with(screen, scene, width, height, Theme { palette: Palette::None, ascii: false })
}

/// The same with a look of your own.
pub fn picture_with(screen: &mut dyn Screen, scene: &Scene, width: u16, height: u16, theme: Theme) -> String {
    let keys = KeyMap::default();
    let area = Rect::new(0, 0, width, height);
    let mut buffer = Buffer::empty(area);
    screen.draw(area, &mut buffer, &view(scene, &theme, &keys, area));
    text_of(&buffer)
}

/// What a screen sees of `scene`.
pub fn view<'a>(scene: &'a Scene, theme: &'a Theme, keys: &'a KeyMap, area: Rect) -> View<'a> {
    scene.view(theme, keys, Size::of(area).unwrap_or(Size::Small), false)
}

/// Compares `text` with a file that people have read. `UPDATE_GOLDEN=1` writes it anew.
pub fn check(name: &str, text: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("the folder of golden files");
        std::fs::write(&path, text).expect("a golden file is written");
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(expected == text, "{} is not what came out:\n{text}", path.display());
}
