//! The whole way: samples, a file, samples.

use super::testing::{
    FINEST, GROWN, TemporaryFile, about, any_series, ended, kills, record, record_outlines, sample, series,
};
use super::{Busiest, Player, Recording, RecordingError, VERSION};
use crate::precision::Precision;
use crate::sample::{HostThread, Sample, State};
use proptest::prelude::*;
use rumpscope_probes::Coverage;
use rumpscope_probes::contention::{Contention, Wait};
use std::sync::Arc;
use std::time::{Duration, Instant};

fn open(bytes: &[u8]) -> Result<Recording, RecordingError> {
    let file = TemporaryFile::new("read");
    std::fs::write(file.path(), bytes).unwrap();
    // An open file can be read though it has no name any more.
    Recording::open(file.path())
}

fn calls(sample: &Sample) -> u64 {
    rumpscope_probes::CATALOGUE.iter().map(|entry| sample.snapshot.calls(entry.call)).sum()
}

fn all(recording: &mut Recording) -> Vec<Sample> {
    (0..recording.len()).map(|index| Sample::clone(&recording.at(index).unwrap())).collect()
}

/// Panics unless `told` is `sample`, or its outline after the whole sample `whole`, rounded no further than `precision` says.
fn assert_told(told: &Sample, sample: &Sample, whole: &Sample, precision: Precision) {
    if sample == whole {
        assert_eq!(told, sample);
        return;
    }
    assert!(told.is_outline());
    assert_eq!(told.precision.and(precision), precision);
    let (told_now, now, before) = (&told.snapshot, &sample.snapshot, &whole.snapshot);
    let rounded = |told: u64, is: u64, was: u64, steps: u32| {
        assert!(told <= is && is - told <= (is - was) >> steps, "{told} for {is} after {was}");
    };
    let counted = |told: u64, is: u64, was: u64| rounded(told, is, was, precision.counts);
    let timed = |told: u64, is: u64, was: u64| rounded(told, is, was, precision.times);
    // All that is not in the outline is as it was, with when that was so.
    assert_eq!(told_now.contention_taken(), before.taken);
    let contention = Contention { recorded: now.contention.recorded, ..Contention::clone(&before.contention) };
    assert_eq!(*told_now.contention, contention);
    assert_eq!((told.missed, told.state, told_now.taken), (sample.missed, sample.state, now.taken));
    assert_eq!(told_now.clock, now.clock);
    let lost = now.coverage.lost_timings;
    counted(told_now.coverage.lost_timings, lost, before.coverage.lost_timings);
    assert_eq!(Coverage { lost_timings: lost, ..told_now.coverage }, now.coverage);
    assert!(told_now.migrations.keys().eq(now.migrations.keys()));
    for (pair, &is) in &now.migrations {
        counted(told_now.migrations[pair], is, before.migrations.get(pair).copied().unwrap_or(0));
    }
    assert!(told_now.cells.keys().eq(now.cells.keys()));
    for (key, is) in &now.cells {
        let (told, was) = (&told_now.cells[key], before.cells.get(key).cloned().unwrap_or_default());
        assert_eq!(told.max, was.max, "{key:?}");
        counted(told.untimed, is.untimed, was.untimed);
        counted(told.timed(), is.timed(), was.timed());
        assert!(told.buckets().eq(was.buckets()) && told.unplaced == told.timed() - was.timed(), "{key:?}");
        // Where nothing is told of it, what was rounded off waits for that.
        match told.timed() == was.timed() {
            true => assert_eq!(told.sum, was.sum),
            false => timed(told.sum, is.sum, was.sum),
        }
    }
    for (told, is) in told_now.vcpus.iter().zip(&now.vcpus) {
        assert_eq!((told.index, told.holder.map(|holder| holder.0)), (is.index, is.holder.map(|holder| holder.0)));
        assert_eq!(told.free_since.is_some(), is.free_since.is_some());
    }
    assert_eq!((told_now.vcpus.len(), told_now.threads.len()), (now.vcpus.len(), now.threads.len()));
    for (told, is) in told_now.threads.iter().zip(&now.threads) {
        assert_eq!((told.lane, told.tid, &told.name), (is.lane, is.tid, &is.name));
        assert_eq!(std::mem::discriminant(&told.now), std::mem::discriminant(&is.now));
        let was = before.threads.iter().find(|was| was.lane == is.lane).map(|was| was.totals).unwrap_or_default();
        counted(told.totals.calls, is.totals.calls, was.calls);
        counted(told.totals.migrations, is.totals.migrations, was.migrations);
        timed(told.totals.run, is.totals.run, was.run);
    }
    assert_eq!(told.threads.len(), sample.threads.len());
    for (told, is) in told.threads.iter().zip(&sample.threads) {
        let was = whole.threads.iter().find(|was| was.tid == is.tid).map_or(0, |was| was.cpu_ns);
        timed(told.cpu_ns, is.cpu_ns, was);
        let exact = HostThread { cpu_ns: told.cpu_ns, ready_ns: told.ready_ns, counters: Vec::new(), ..is.clone() };
        assert_eq!(*told, exact);
    }
}

const EXACT: u32 = Precision::ALL_BITS;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// In any order: what is told of a sample depends on nothing else that was read.
    #[test]
    fn outlines_tell_what_they_promise(
        samples in any_series(12),
        wholes in proptest::collection::vec(any::<bool>(), 12),
        order in proptest::collection::vec(any::<prop::sample::Index>(), 20),
        (counts, times) in prop_oneof![Just((EXACT, 7)), (0..=EXACT, 0..=EXACT)],
    ) {
        let precision = Precision { counts, times };
        let is_whole = |index: usize| index == 0 || wholes[index];
        let last_whole = |index: usize| (0..=index).rev().find(|index| is_whole(*index)).unwrap();
        let mut recording = open(&record_outlines(&samples, is_whole, |_| precision, Some(&ended()))).unwrap();
        prop_assert_eq!((recording.len(), recording.damage()), (samples.len(), None));
        let told = all(&mut recording);
        for (index, sample) in samples.iter().enumerate() {
            prop_assert_eq!(recording.last_whole(index), last_whole(index));
            assert_told(&told[index], sample, &samples[last_whole(index)], precision);
        }
        for index in order {
            let index = index.index(samples.len());
            prop_assert_eq!(&*recording.at(index).unwrap(), &told[index], "sample {}", index);
        }
        // Nothing ever becomes less.
        for pair in told.windows(2) {
            for (key, later) in &pair[1].snapshot.cells {
                let earlier = pair[0].snapshot.cells.get(key).cloned().unwrap_or_default();
                let added = later.since(&earlier);
                prop_assert_eq!(added.count(), later.count().checked_sub(earlier.count()).unwrap());
                prop_assert_eq!(added.untimed, later.untimed.checked_sub(earlier.untimed).unwrap());
                prop_assert_eq!(added.sum, later.sum.checked_sub(earlier.sum).unwrap());
            }
        }
        // How many calls there were between two samples is never rounded.
        for (pair, intervals) in samples.windows(2).zip(recording.intervals().windows(2)) {
            prop_assert_eq!(intervals[1].calls, calls(&pair[1]) - calls(&pair[0]));
        }
    }

    #[test]
    fn samples_survive(samples in any_series(12)) {
        let mut recording = open(&record(&samples, Some(&ended()))).unwrap();
        prop_assert_eq!(recording.len(), samples.len());
        prop_assert_eq!((recording.about(), recording.ended(), recording.damage()), (&about(), Some(&ended()), None));
        for (index, sample) in samples.iter().enumerate() {
            prop_assert_eq!(&*recording.at(index).unwrap(), sample, "sample {}", index);
        }
        for (index, sample) in samples.iter().enumerate().rev() {
            prop_assert_eq!(&*recording.at(index).unwrap(), sample, "sample {}, backwards", index);
        }
    }

    /// Changed bytes are found out, or change nothing that a sample has.
    #[test]
    fn no_wrong_sample_is_given(
        samples in any_series(5),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), 1..=255u8), 1..4),
    ) {
        let whole = record_outlines(&samples, |index| index % 2 == 0, |_| FINEST, Some(&ended()));
        let samples = all(&mut open(&whole).unwrap());
        let mut bytes = whole.clone();
        for (at, change) in changes {
            bytes[at.index(whole.len())] ^= change;
        }
        let Ok(mut recording) = open(&bytes) else { return Ok(()) };
        prop_assert!(recording.damage().is_some() || bytes == whole);
        for (index, sample) in samples.iter().enumerate().take(recording.len()) {
            prop_assert_eq!(&*recording.at(index).unwrap(), sample, "sample {}", index);
        }
    }

    #[test]
    fn any_bytes_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300), magic: bool) {
        let start = [&super::frame::MAGIC[..], &VERSION.to_le_bytes()].concat();
        let bytes = if magic { [start, bytes].concat() } else { bytes };
        prop_assert!(open(&bytes).is_err());
    }
}

/// A recording that was cut anywhere has all samples before the cut.
#[test]
fn what_was_cut_off_opens_up_to_its_last_whole_frame() {
    let samples = series(&[5, 6, 7, 11, 77, 1 << 20]);
    cut_anywhere(record(&samples, Some(&ended())), &samples);
    let outlined = record_outlines(&samples, |index| index % 3 == 0, |_| FINEST, Some(&ended()));
    let told = all(&mut open(&outlined).unwrap());
    cut_anywhere(outlined, &told);
}

fn cut_anywhere(whole: Vec<u8>, samples: &[Sample]) {
    let mut most = 0;
    for length in 0..whole.len() {
        let Ok(mut recording) = open(&whole[..length]) else {
            assert_eq!(most, 0, "cut at {length}");
            continue;
        };
        let whole_now = recording.len();
        assert!(whole_now == most || whole_now == most + 1);
        // What was there before was compared before.
        if whole_now > most {
            assert_eq!(all(&mut recording), samples[..whole_now]);
            assert!(recording.damage().is_none(), "{:?}", recording.damage());
        } else {
            assert!(recording.damage().is_some_and(|damage| damage.cut && damage.whole == most));
        }
        assert_eq!(recording.ended(), None);
        most = whole_now;
    }
    assert_eq!(most, samples.len());
}

#[test]
fn what_is_no_recording_is_said() {
    let whole = record(&series(&[5]), None);
    let problem = |bytes: &[u8]| open(bytes).unwrap_err().to_string();
    assert!(problem(b"").contains("is no recording of rumpscope"));
    assert!(problem(&b"SOMETHING".repeat(20)).contains("is no recording of rumpscope"));
    let mut other = whole.clone();
    other[8..12].copy_from_slice(&77u32.to_le_bytes());
    let problem_of_version = problem(&other);
    assert!(problem_of_version.contains("version 77; this rumpscope reads versions up to 3"), "{problem_of_version}");
    let empty = problem(&whole[..60]);
    assert!(empty.contains("has no whole sample: at byte 12: the file ends within a frame"), "{empty}");
    assert!(matches!(Recording::open("/no/such/file".as_ref()), Err(RecordingError::Io { .. })));
}

#[test]
fn damage_is_told_with_its_place() {
    let samples = series(&[5, 6, 7]);
    let whole = record(&samples, None);
    let mut damaged = whole.clone();
    *damaged.last_mut().unwrap() ^= 1;
    let recording = open(&damaged).unwrap();
    let damage = *recording.damage().unwrap();
    assert_eq!((damage.whole, damage.cut, recording.len()), (3, false, 3));
    assert_eq!(
        damage.to_string(),
        format!("at byte {}: a frame is not as it was written; 3 samples before that are readable", damage.offset)
    );
    // A frame in another's place, though each is as it was written.
    let cut = &whole[..damage.offset as usize];
    let twice = [cut, &whole[damage.offset as usize..], &whole[damage.offset as usize..]].concat();
    assert!(open(&twice).unwrap().damage().is_some());
}

/// There may be nothing to record after all.
#[test]
fn an_old_file_stays_until_there_is_something_to_write() {
    let file = TemporaryFile::new("old");
    std::fs::write(file.path(), vec![b'x'; 1 << 20]).unwrap();
    drop(super::Recorder::create(file.path(), &about()).unwrap());
    assert_eq!(super::Recorder::create(file.path(), &about()).unwrap().finish(&ended()).unwrap(), 0);
    assert_eq!(std::fs::read(file.path()).unwrap(), vec![b'x'; 1 << 20]);
    let mut recorder = super::Recorder::create(file.path(), &about()).unwrap();
    recorder.add(&sample()).unwrap();
    assert_eq!(std::fs::metadata(file.path()).unwrap().len(), recorder.bytes());
    assert_eq!(Recording::open(file.path()).unwrap().len(), 1);

    std::fs::remove_file(file.path()).unwrap();
    drop(super::Recorder::create(file.path(), &about()).unwrap());
    assert!(!file.path().exists(), "no file is made for nothing");
    let (first, mut second) = (
        super::Recorder::create(file.path(), &about()).unwrap(),
        super::Recorder::create(file.path(), &about()).unwrap(),
    );
    second.add(&sample()).unwrap();
    drop(first);
    assert!(file.path().exists(), "another one writes to it");
}

/// Key frames come now and then, and nothing is different there.
#[test]
fn a_long_recording_is_read_from_its_middle() {
    let events: Vec<u64> = (0..1_500).map(|event| event * 7919 % 100_003 + 1).collect();
    let mut samples = vec![sample()];
    let file = TemporaryFile::new("long");
    let mut recorder = super::Recorder::create(file.path(), &about()).unwrap();
    recorder.add(&samples[0]).unwrap();
    for &event in &events {
        // Without what would make them larger and larger.
        let event = event * 5 * 7 * 11 + 1;
        let next = super::testing::next(&samples[samples.len() - 1], event);
        recorder.add(&next).unwrap();
        samples.push(next);
    }
    let mut recording = Recording::open(file.path()).unwrap();
    assert_eq!(recording.len(), samples.len());
    for index in [1_400, 3, 700, 701, 1_500, 0, 1_499] {
        assert_eq!(*recording.at(index).unwrap(), samples[index], "sample {index}");
    }
    assert!(*recording.at(usize::MAX).unwrap() == samples[1_500]);
}

#[test]
fn intervals_tell_what_happened() {
    let samples = series(&[21, 1 << 21]);
    let recording = open(&record(&samples, None)).unwrap();
    let intervals = recording.intervals();
    assert_eq!((intervals[0].elapsed, intervals[0].calls), (Duration::ZERO, 0));
    assert!(intervals[1].calls > 0);
    assert_eq!(intervals[1].calls, calls(&samples[1]) - calls(&samples[0]));
    // Three locks that are no condition variables, 21 ticks of just below half a nanosecond each.
    assert_eq!(intervals[1].waited, Duration::from_nanos(31));
    assert_eq!(recording.index_at(intervals[1].elapsed), 1);
    assert_eq!(recording.index_at(intervals[1].elapsed - Duration::from_nanos(1)), 0);
}

#[test]
fn a_player_shows_samples_and_those_before_them() {
    let samples = series(&[3, 4, 1 << 29, 9]);
    let mut player = Player::new(open(&record(&samples, None)).unwrap()).unwrap();
    let shows = |player: &Player, index: usize| {
        let before = player.before().map(|sample| Sample::clone(sample));
        *player.current() == Arc::new(samples[index].clone())
            && before.as_ref() == index.checked_sub(1).map(|before| &samples[before])
            && player.position().index == index
    };
    assert!(shows(&player, 1) && player.is_playing());
    let begin = Instant::now();
    assert!(!player.tick(begin).unwrap());
    assert!(player.tick(begin + Duration::from_millis(1_100)).unwrap());
    assert!(shows(&player, 2));
    assert!(player.step(-2).unwrap());
    assert!(shows(&player, 0) && !player.is_playing());
    assert!(player.seek(4).unwrap());
    assert!(shows(&player, 4));
    let position = player.position();
    assert_eq!((position.count, position.elapsed), (5, position.length));
    player.to_busiest(Busiest::Waiting).unwrap();
    assert!(shows(&player, 3));
    let mut history = Vec::new();
    player.for_each_before(3, |sample| history.push(Sample::clone(&sample))).unwrap();
    // Of the first, there are figures alone.
    let mut figures = samples[1].clone();
    let contention = Arc::make_mut(&mut figures.snapshot.contention);
    (contention.waits, contention.stacks, contention.modules) = Default::default();
    assert_eq!(history[0], figures);
    assert_eq!(history[1..], samples[2..=3]);
    assert!(shows(&player, 3));
}

/// What a format of each version looks like stays in a file for ever, and is read.
fn golden(version: u32) -> std::path::PathBuf {
    std::path::PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/recording-{version}.rsr"))
}

#[test]
fn the_golden_recording_of_version_1_is_read() {
    let mut samples = series(&[1, 2, 35, 77, 1 << 33]);
    // When it was written, what came to this cell took the place of what was there.
    let [.., fourth, fifth] = &mut samples[..] else { unreachable!() };
    let [fourth, fifth] = [fourth, fifth].map(|sample| sample.snapshot.cells.get_mut(&GROWN).unwrap());
    let mut last = fifth.since(fourth);
    last.merge(&kills(77));
    last.max = fifth.max;
    (*fourth, *fifth) = (kills(77), last);
    let mut golden = Recording::open(&golden(1)).unwrap();
    assert_eq!(all(&mut golden), samples);
    assert_eq!((golden.about(), golden.ended(), golden.damage()), (&about(), Some(&ended()), None));
    assert_eq!(golden.at(3).unwrap().state, State::Alive);
}

/// Of version 2, there are outlines as well, which nobody writes any more.
#[test]
fn the_golden_recording_of_version_2_is_read() {
    let samples = series(&[1, 2, 35, 77, 1 << 33, 3, 1 << 34]);
    let mut golden = Recording::open(&golden(2)).unwrap();
    assert_eq!((golden.about(), golden.ended(), golden.damage()), (&about(), Some(&ended()), None));
    let golden = all(&mut golden);
    for (index, sample) in samples.iter().enumerate() {
        assert_told(&golden[index], sample, &samples[index / 3 * 3], FINEST);
    }
}

/// And what is written now is the same.
#[test]
fn the_golden_recording_of_this_version_is_read() {
    let samples = series(&[1, 2, 35, 77, 1 << 33, 3, 1 << 34]);
    let coarse = Precision { counts: 4, times: 3 };
    let precision = |index: usize| if index.is_multiple_of(2) { coarse } else { FINEST };
    let written = record_outlines(&samples, |index| index % 3 == 0, precision, Some(&ended()));
    let path = golden(VERSION);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &written).unwrap();
    }
    let mut golden = Recording::open(&path).unwrap();
    assert_eq!((golden.about(), golden.ended(), golden.damage()), (&about(), Some(&ended()), None));
    let golden = all(&mut golden);
    for (index, sample) in samples.iter().enumerate() {
        assert_told(&golden[index], sample, &samples[index / 3 * 3], coarse);
    }
    // Packed bytes may differ with the version of the library that packs them.
    assert_eq!(all(&mut open(&written).unwrap()), golden);
}

/// What does not fit is left out; what is written is whole, and tells what happened in the meantime.
#[test]
fn a_limit_leaves_samples_out() {
    let samples = series(&[1, 2, 3, 4, 6, 8, 9, 12]);
    let file = TemporaryFile::new("limit");
    let mut recorder = super::Recorder::create(file.path(), &about()).unwrap().with_limit(1);
    samples.iter().for_each(|sample| recorder.add(sample).unwrap());
    assert_eq!((recorder.samples(), recorder.left_out()), (1, samples.len() - 1));
    assert!(!recorder.ends_whole());
    recorder.add_always(&samples[8]).unwrap();
    assert!(recorder.ends_whole());
    let mut recording = Recording::open(file.path()).unwrap();
    assert_eq!(all(&mut recording), [samples[0].clone(), samples[8].clone()]);
    assert!(recording.intervals()[1].length > Duration::from_secs(7));
}

/// What is larger than anybody thought is not written where it would be too large.
#[test]
fn a_whole_sample_that_does_not_fit_is_an_outline() {
    let first = sample();
    let limit = 40 * record(std::slice::from_ref(&first), None).len() as u64;
    let mut large = super::testing::next(&first, 1);
    let waits = &mut Arc::make_mut(&mut large.snapshot.contention).waits;
    let wait = waits[0].clone();
    // The multiplier of Knuth's MMIX: these cannot be packed.
    waits
        .extend((1..20_000_u64).map(|nth| Wait { ticks: nth.wrapping_mul(6_364_136_223_846_793_005), ..wait.clone() }));
    let last = super::testing::next(&large, 2);
    let file = TemporaryFile::new("large");
    let mut recorder = super::Recorder::create(file.path(), &about()).unwrap().with_limit(limit);
    recorder.add(&first).unwrap();
    recorder.add(&large).unwrap();
    assert_eq!((recorder.samples(), recorder.outlines(), recorder.left_out()), (2, 1, 0));
    assert!(recorder.bytes() <= limit && !recorder.ends_whole());
    recorder.add_always(&last).unwrap();
    assert!(recorder.bytes() > limit && recorder.ends_whole());
    let told = all(&mut Recording::open(file.path()).unwrap());
    assert_told(&told[1], &large, &first, FINEST);
    assert_eq!((&told[0], &told[2]), (&first, &last));
}

/// A day of a guest at a sample every 100 seconds, with room for few whole ones: each is told, with counts that are exact, and
/// the last sample is the live one.
#[test]
fn a_small_budget_has_an_outline_of_every_sample() {
    let mut samples = vec![sample()];
    samples[0].snapshot.clock.ticks_per_second /= 100.0;
    for nth in 1..864_u64 {
        // Without what would make them larger and larger.
        let event = nth * 7919 % 100_003 * 5 * 7 * 11 + 1;
        let next = super::testing::next(&samples[samples.len() - 1], event);
        samples.push(next);
    }
    let file = TemporaryFile::new("budget");
    const LIMIT: u64 = 110_000;
    let mut recorder = super::Recorder::create(file.path(), &about()).unwrap().with_limit(LIMIT);
    samples[..863].iter().for_each(|sample| recorder.add(sample).unwrap());
    assert_eq!((recorder.samples(), recorder.left_out()), (863, 0));
    let outlines = recorder.outlines();
    let precision = recorder.precision();
    assert!(recorder.bytes() <= LIMIT && (200..800).contains(&outlines), "{} {outlines}", recorder.bytes());
    recorder.add_always(&samples[863]).unwrap();
    let mut recording = Recording::open(file.path()).unwrap();
    let told = all(&mut recording);
    for (index, sample) in samples.iter().enumerate() {
        assert_told(&told[index], sample, &samples[recording.last_whole(index)], precision);
    }
    assert_eq!(told.iter().filter(|sample| sample.is_outline()).count(), outlines);
    assert_eq!(told.iter().fold(Precision::EXACT, |of, sample| of.and(sample.precision)), precision);
    assert_eq!(precision.counts, EXACT);
    assert_eq!(told.last(), samples.last());
}

/// Wherever one comes from.
#[test]
fn many_outlines_are_read_in_any_order() {
    let events: Vec<u64> = (0..700).map(|event| (event * 7919 % 100_003 + 1) * 5 * 7 * 11 + 1).collect();
    let bytes = record_outlines(&series(&events), |index| matches!(index, 0 | 20), |_| FINEST, None);
    let told = all(&mut open(&bytes).unwrap());
    let mut recording = open(&bytes).unwrap();
    let far = [700, 699, 698, 500, 635, 636, 84, 83, 85, 20, 19, 690, 2, 148, 700];
    for index in far.into_iter().chain((500..700).rev()) {
        assert!(*recording.at(index).unwrap() == told[index], "sample {index}");
    }
}

/// Waiting is told with whole samples, and is that of the time since the last one.
#[test]
fn the_busiest_time_is_found_among_outlines() {
    let samples = series(&[1, 2, 1 << 20, 5, 1 << 29, 3, 4]);
    let recording = open(&record_outlines(&samples, |index| index % 3 == 0, |_| FINEST, None)).unwrap();
    let intervals = recording.intervals();
    let [two, three] = [2, 3].map(|index| intervals[index]);
    assert_eq!((two.waiting(), two.waited_in), (0.0, Duration::ZERO));
    assert_eq!(three.waited_in, three.elapsed);
    assert!(intervals.iter().all(|interval| interval.calls > 0 || interval.length.is_zero()));
    let mut player = Player::new(recording).unwrap();
    player.to_busiest(Busiest::Waiting).unwrap();
    assert_eq!(player.position().index, 6);
}
