//! What the screen shows of the hand-made kernel.

use super::*;
use crate::dashboard::keys::KeyMap;
use crate::dashboard::scene::Scene;
use crate::dashboard::testing::Known;
use crate::dashboard::testing::{self, check, picture, picture_with};
use crate::dashboard::theme::Palette;
use crate::dashboard::theme::Theme;
use crate::dashboard::waits::Waits;
use rumpscope_reports::{Counter, Event};

fn screen() -> Threads {
    Threads::new(Waits::known(Box::new(Known)))
}

fn act(screen: &mut Threads, scene: &Scene, action: Action) -> Reaction {
    let (theme, keys) = (Theme::default(), KeyMap::default());
    screen.act(action, &testing::view(scene, &theme, &keys, Rect::new(0, 0, 120, 40)))
}

#[test]
fn threads_in_all_sizes() {
    for (vcpus, width, height) in [(2, 80, 21), (4, 120, 37), (8, 190, 57)] {
        let name = format!("threads-{width}x{height}.txt");
        check(&name, &picture(&mut screen(), &testing::scene(vcpus, 8), width, height));
    }
    let ascii = Theme { palette: Palette::None, ascii: true };
    assert!(picture_with(&mut screen(), &testing::scene(2, 8), 190, 57, ascii).is_ascii());
}

#[test]
fn a_thread_in_all_sizes() {
    let scene = testing::scene(2, 8);
    for (width, height) in [(80, 21), (120, 37), (190, 57)] {
        let mut screen = screen();
        screen.open = Some(ThreadKey::Lane(3));
        let name = format!("thread-{width}x{height}.txt");
        check(&name, &picture(&mut screen, &scene, width, height));
    }
}

#[test]
fn who_is_chosen_is_opened() {
    let scene = testing::scene(2, 3);
    let mut screen = screen();
    picture(&mut screen, &scene, 80, 21);
    assert_eq!(act(&mut screen, &scene, Action::Open), Reaction::Done);
    assert!(screen.open.is_some() && screen.field().is_none());
    let first = screen.open;
    act(&mut screen, &scene, Action::Down);
    assert!(screen.open.is_some() && screen.open != first);
    act(&mut screen, &scene, Action::Up);
    assert_eq!(screen.open, first);
    assert_eq!(act(&mut screen, &scene, Action::Back), Reaction::Done);
    assert!(screen.open.is_none());
}

#[test]
fn missing_counters_are_said_with_their_reason_and_once() {
    let mut samples = testing::samples(1, 2);
    for thread in samples.iter_mut().flat_map(|sample| &mut sample.threads) {
        thread.counters = vec![Counter::Missing("not permitted".to_owned()); Event::ALL.len()];
    }
    let mut scene = Scene::new(std::sync::Arc::new(samples.remove(0)), false);
    scene.push(std::sync::Arc::new(samples.remove(0)));
    let text = picture(&mut screen(), &scene, 120, 37);
    assert_eq!(text.matches("missing all counters: not permitted").count(), 1, "{text}");
    let mut screen = screen();
    screen.open = Some(ThreadKey::Lane(0));
    assert_eq!(picture(&mut screen, &scene, 120, 37).matches("all counters: not permitted").count(), 1);
}

#[test]
fn a_host_that_shows_nothing_is_said() {
    let mut samples = testing::samples(1, 2);
    samples.iter_mut().for_each(|sample| sample.threads.clear());
    let scene = Scene::new(std::sync::Arc::new(samples.remove(1)), false);
    assert!(picture(&mut screen(), &scene, 80, 21).contains("the host shows no threads of this process"));
}

#[test]
fn threads_that_have_ended_are_left_out_and_counted() {
    let mut sample = testing::samples(2, 1).remove(0);
    sample.snapshot.threads[5].tid = 0;
    let scene = Scene::new(std::sync::Arc::new(sample), false);
    let mut screen = screen();
    let text = picture(&mut screen, &scene, 80, 21);
    assert!(text.contains("1 that have ended are left out"), "{text}");
    act(&mut screen, &scene, Action::Mode);
    assert!(picture(&mut screen, &scene, 80, 21).contains("ended"));
}

#[test]
fn any_size_can_be_drawn() {
    let scene = testing::scene(2, 3);
    for (width, height) in [(0, 0), (1, 1), (10, 5), (40, 12), (80, 3), (7, 40), (300, 100)] {
        let mut screen = screen();
        picture(&mut screen, &scene, width, height);
        for key in [ThreadKey::Lane(3), ThreadKey::Host(4712), ThreadKey::Lane(99)] {
            screen.open = Some(key);
            picture(&mut screen, &scene, width, height);
        }
    }
}
