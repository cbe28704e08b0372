//! What the screen shows of the hand-made kernel.

use super::*;
use crate::dashboard::keys::KeyMap;
use crate::dashboard::scene::Scene;
use crate::dashboard::testing::Known;
use crate::dashboard::testing::{self, check, picture, picture_with};
use crate::dashboard::theme::Palette;
use crate::dashboard::waits::Waits;
use std::sync::Arc;

fn screen() -> Contention {
    Contention::new(Waits::known(Box::new(Known)))
}

fn act(screen: &mut Contention, scene: &Scene, action: Action) -> Reaction {
    let (theme, keys) = (Theme::default(), KeyMap::default());
    screen.act(action, &testing::view(scene, &theme, &keys, Rect::new(0, 0, 120, 40)))
}

#[test]
fn locks_in_all_sizes() {
    let scene = testing::scene(2, 30);
    for (width, height) in [(80, 21), (120, 37), (190, 57)] {
        let name = format!("contention-{width}x{height}.txt");
        check(&name, &picture(&mut screen(), &scene, width, height));
    }
    let ascii = Theme { palette: Palette::None, ascii: true };
    assert!(picture_with(&mut screen(), &scene, 120, 37, ascii).is_ascii());
}

#[test]
fn a_lock_in_all_sizes() {
    let scene = testing::scene(2, 60);
    for (width, height) in [(80, 21), (120, 37), (190, 57)] {
        let mut screen = screen();
        picture(&mut screen, &scene, width, height);
        assert_eq!(act(&mut screen, &scene, Action::Open), Reaction::Done);
        let name = format!("lock-{width}x{height}.txt");
        check(&name, &picture(&mut screen, &scene, width, height));
        assert_eq!(act(&mut screen, &scene, Action::Back), Reaction::Done);
    }
}

#[test]
fn every_list_has_lines_and_each_can_be_opened() {
    let scene = testing::scene(2, 8);
    let mut screen = screen();
    let mut all = String::new();
    for mode in Mode::ALL {
        assert_eq!(screen.mode, mode);
        all.push_str(&picture(&mut screen, &scene, 100, 14));
        assert_eq!(act(&mut screen, &scene, Action::Open), Reaction::Done, "{mode:?}");
        assert!(!picture(&mut screen, &scene, 100, 24).contains("who blocks whom"), "{mode:?}");
        act(&mut screen, &scene, Action::Back);
        act(&mut screen, &scene, Action::Mode);
    }
    check("contention-lists.txt", &all);
    assert_eq!(screen.mode, Mode::Locks);
}

#[test]
fn a_lock_that_nobody_waits_for_any_more_is_told() {
    let mut samples = testing::samples(2, 3);
    samples[2].snapshot.contention = samples[1].snapshot.contention.clone();
    let mut samples = samples.into_iter().map(std::sync::Arc::new);
    let mut scene = Scene::new(samples.next().unwrap(), false);
    let mut screen = screen();
    scene.push(samples.next().unwrap());
    picture(&mut screen, &scene, 80, 21);
    act(&mut screen, &scene, Action::Last);
    act(&mut screen, &scene, Action::Open);
    scene.push(samples.next().unwrap());
    assert!(picture(&mut screen, &scene, 80, 21).contains("nobody has waited in this time"));
    act(&mut screen, &scene, Action::Back);
    // Two still wait for this one.
    assert!(picture(&mut screen, &scene, 80, 21).contains("vcache_alloc #2"));
}

#[test]
fn what_is_opened_leads_to_the_next() {
    let scene = testing::scene(2, 8);
    let mut screen = screen();
    picture(&mut screen, &scene, 80, 21);
    act(&mut screen, &scene, Action::Open);
    let first = picture(&mut screen, &scene, 80, 21);
    act(&mut screen, &scene, Action::Down);
    assert_ne!(picture(&mut screen, &scene, 80, 21), first);
    act(&mut screen, &scene, Action::Up);
    assert_eq!(picture(&mut screen, &scene, 80, 21), first);
}

#[test]
fn what_is_not_recorded_is_said() {
    let mut sample = testing::samples(2, 1).remove(0);
    Arc::make_mut(&mut sample.snapshot.contention).recorded = false;
    let scene = Scene::new(std::sync::Arc::new(sample), false);
    assert!(picture(&mut screen(), &scene, 80, 21).contains("it is not recorded who waits for whom"));
}

#[test]
fn the_mouse_goes_between_lists_and_opens() {
    let scene = testing::scene(2, 3);
    let mut screen = screen();
    picture(&mut screen, &scene, 80, 21);
    let (theme, keys) = (Theme::default(), KeyMap::default());
    let view = testing::view(&scene, &theme, &keys, Rect::new(0, 0, 80, 21));
    assert_eq!(screen.mouse(Mouse::Click, Position::new(12, 0), &view), Reaction::Done);
    assert_eq!(screen.mode, Mode::Conditions);
    assert_eq!(screen.mouse(Mouse::Click, Position::new(4, 0), &view), Reaction::Done);
    assert_eq!(screen.mode, Mode::Locks);
    assert_eq!(screen.mouse(Mouse::Click, Position::new(4, 2), &view), Reaction::Done);
    assert!(screen.open.is_some());
}

#[test]
fn any_size_can_be_drawn() {
    let scene = testing::scene(2, 3);
    for (width, height) in [(0, 0), (1, 1), (10, 5), (40, 12), (80, 3), (7, 40), (300, 100)] {
        let mut screen = screen();
        picture(&mut screen, &scene, width, height);
        screen.open = Some(Opened { by: By::Lock, key: Key::Lock(2), realm: Realm::Locks });
        picture(&mut screen, &scene, width, height);
        screen.open = Some(Opened { by: By::Site, key: Key::Site("vn_lock".to_owned()), realm: Realm::Locks });
        picture(&mut screen, &scene, width, height);
    }
}
