//! What the screen shows of the hand-made kernel.

use super::*;
use crate::dashboard::keys::KeyMap;
use crate::dashboard::scene::Scene;
use crate::dashboard::testing::{self, check, picture, picture_with};
use crate::dashboard::theme::{Palette, Theme};

fn act(screen: &mut Transitions, scene: &Scene, action: Action) -> Reaction {
    let (theme, keys) = (Theme::default(), KeyMap::default());
    screen.act(action, &testing::view(scene, &theme, &keys, Rect::new(0, 0, 120, 40)))
}

#[test]
fn causes_and_pictures_in_all_sizes() {
    let mut screen = Transitions::default();
    check("transitions-80x21.txt", &picture(&mut screen, &testing::scene(4, 8), 80, 21));
    check("transitions-120x37.txt", &picture(&mut screen, &testing::scene(4, 8), 120, 37));
    check("transitions-190x57.txt", &picture(&mut screen, &testing::scene(16, 8), 190, 57));
    let ascii = Theme { palette: Palette::None, ascii: true };
    let text = picture_with(&mut screen, &testing::scene(40, 3), 120, 37, ascii);
    assert!(text.is_ascii(), "{text}");
}

#[test]
fn one_cause_by_its_phases() {
    let scene = testing::scene(4, 8);
    let mut screen = Transitions::default();
    picture(&mut screen, &scene, 120, 37);
    assert_eq!(act(&mut screen, &scene, Action::Down), Reaction::Done);
    assert_eq!(act(&mut screen, &scene, Action::Open), Reaction::Done);
    check("transition-80x21.txt", &picture(&mut screen, &scene, 80, 21));
    check("transition-120x37.txt", &picture(&mut screen, &scene, 120, 37));
    assert!(screen.field().is_none());
    assert_eq!(act(&mut screen, &scene, Action::Back), Reaction::Done);
    assert_eq!(act(&mut screen, &scene, Action::Back), Reaction::Ignored);
}

#[test]
fn the_pictures_are_of_all_causes_or_of_the_chosen_one() {
    let scene = testing::scene(2, 4);
    let mut screen = Transitions::default();
    assert!(picture(&mut screen, &scene, 120, 37).contains("Run length, all causes"));
    act(&mut screen, &scene, Action::Mode);
    assert!(picture(&mut screen, &scene, 120, 37).contains("Run length, guest_entry"));
}

#[test]
fn many_virtual_cpus_are_a_list_where_the_matrix_has_no_room() {
    let scene = testing::scene(40, 3);
    let text = picture(&mut Transitions::default(), &scene, 80, 21);
    assert!(text.contains(" -> ") && text.contains(" more"), "{text}");
}

#[test]
fn nothing_yet_and_any_size() {
    let scene = testing::scene(1, 1);
    let mut empty = testing::samples(1, 1).remove(0);
    empty.snapshot.cells.clear();
    let empty = Scene::new(std::sync::Arc::new(empty), false);
    assert!(picture(&mut Transitions::default(), &empty, 80, 21).contains("no thread has left"));
    for (width, height) in [(0, 0), (1, 1), (10, 5), (80, 3), (7, 40), (300, 100)] {
        let mut screen = Transitions::default();
        picture(&mut screen, &scene, width, height);
        act(&mut screen, &scene, Action::Open);
        picture(&mut screen, &scene, width, height);
    }
}
