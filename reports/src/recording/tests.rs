//! The whole way: samples, a file, samples.

use super::testing::{TemporaryFile, about, any_series, ended, record, sample, series};
use super::{Busiest, Player, Recording, RecordingError, VERSION};
use crate::sample::{Sample, State};
use proptest::prelude::*;
use std::sync::Arc;
use std::time::{Duration, Instant};

fn open(bytes: &[u8]) -> Result<Recording, RecordingError> {
    let file = TemporaryFile::new("read");
    std::fs::write(file.path(), bytes).unwrap();
    // An open file can be read though it has no name any more.
    Recording::open(file.path())
}

fn all(recording: &mut Recording) -> Vec<Sample> {
    (0..recording.len()).map(|index| Sample::clone(&recording.at(index).unwrap())).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

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
        let whole = record(&samples, Some(&ended()));
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
    let whole = record(&samples, Some(&ended()));
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
    assert!(problem_of_version.contains("version 77; this rumpscope reads version 1"), "{problem_of_version}");
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
        format!("at byte {}: a frame is not as it was written; 3 samples before that are whole", damage.offset)
    );
    // A frame in another's place, though each is as it was written.
    let cut = &whole[..damage.offset as usize];
    let twice = [cut, &whole[damage.offset as usize..], &whole[damage.offset as usize..]].concat();
    assert!(open(&twice).unwrap().damage().is_some());
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
    let calls = |sample: &Sample| {
        let snapshot = &sample.snapshot;
        rumpscope_probes::CATALOGUE.iter().map(|entry| snapshot.calls(entry.call)).sum::<u64>()
    };
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
    assert_eq!(history, samples[1..=3]);
    assert!(shows(&player, 3));
}

/// What a format of this version looks like stays in a file for ever: it must be read, and what is written be the same.
#[test]
fn the_golden_recording_is_read() {
    let path = std::path::PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/recording-1.rsr");
    let samples = series(&[1, 2, 35, 77, 1 << 33]);
    let written = record(&samples, Some(&ended()));
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &written).unwrap();
    }
    let mut golden = Recording::open(&path).unwrap();
    assert_eq!(all(&mut golden), samples);
    assert_eq!((golden.about(), golden.ended(), golden.damage()), (&about(), Some(&ended()), None));
    assert_eq!(golden.at(3).unwrap().state, State::Alive);
    // Packed bytes may differ with the version of the library that packs them.
    assert_eq!(all(&mut open(&written).unwrap()), samples);
}

/// What does not fit is left out; what is written is whole, and tells what happened in the meantime.
#[test]
fn a_limit_leaves_samples_out() {
    let samples = series(&[1, 2, 3, 4, 6, 8, 9, 12]);
    let file = TemporaryFile::new("limit");
    let mut recorder = super::Recorder::create(file.path(), &about()).unwrap().with_limit(1);
    samples.iter().for_each(|sample| recorder.add(sample).unwrap());
    assert_eq!((recorder.samples(), recorder.left_out()), (1, samples.len() - 1));
    recorder.add_always(&samples[8]).unwrap();
    let mut recording = Recording::open(file.path()).unwrap();
    assert_eq!(all(&mut recording), [samples[0].clone(), samples[8].clone()]);
    assert!(recording.intervals()[1].length > Duration::from_secs(7));
}
