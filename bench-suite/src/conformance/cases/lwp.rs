//! The current lwp of a host thread.

use crate::conformance::calls::sleep;
use crate::conformance::case::Family;
use crate::conformance::guest::{Lwp, new_lwp};
use rumpuser::abi::types::clock::RELWALL;
use rumpuser::abi::types::lwp_op::{CLEAR, CREATE, DESTROY, SET};

pub(super) fn cases(family: &mut Family<'_>) {
    family.case("none_in_a_new_thread", "a host thread has no current lwp at first", |guest| {
        guest.spawn_outside(|| assert_eq!(guest.curlwp(), Lwp::NONE)).join();
    });
    family.case("set_and_clear", "curlwp returns what was set, and null after it was cleared", |guest| {
        guest
            .spawn_outside(|| {
                let lwp = new_lwp();
                guest.curlwpop(CREATE, lwp);
                guest.curlwpop(SET, lwp);
                assert_eq!(guest.curlwp(), lwp);
                guest.curlwpop(CLEAR, lwp);
                assert_eq!(guest.curlwp(), Lwp::NONE);
                guest.curlwpop(DESTROY, lwp);
            })
            .join();
    });
    family.case("set_another", "after a clear, another lwp can be the current one", |guest| {
        guest
            .spawn_outside(|| {
                for _ in 0..100 {
                    let lwp = new_lwp();
                    guest.curlwpop(CREATE, lwp);
                    guest.curlwpop(SET, lwp);
                    assert_eq!(guest.curlwp(), lwp);
                    guest.curlwpop(CLEAR, lwp);
                    guest.curlwpop(DESTROY, lwp);
                }
            })
            .join();
    });
    family.case(
        "create_and_destroy_change_nothing",
        "create and destroy of other lwps leave the current one",
        |guest| {
            let current = guest.lwp();
            let other = new_lwp();
            guest.stays_on_cpu(|| {
                guest.curlwpop(CREATE, other);
                assert_eq!(guest.curlwp(), current);
                guest.curlwpop(DESTROY, other);
                assert_eq!(guest.curlwp(), current);
            });
        },
    );
    family.case("each_thread_has_its_own", "curlwp of many threads at the same time are their own", |guest| {
        let threads: Vec<_> = (0..8)
            .map(|_| {
                guest.spawn(|| {
                    let lwp = guest.lwp();
                    for _ in 0..10_000 {
                        assert_eq!(guest.curlwp(), lwp);
                    }
                })
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join());
    });
    family.case("one_lwp_can_move", "an lwp that was cleared in one thread can be set in another", |guest| {
        let lwp = new_lwp();
        guest.curlwpop(CREATE, lwp);
        for _ in 0..10 {
            guest
                .spawn_outside(move || {
                    guest.curlwpop(SET, lwp);
                    assert_eq!(guest.curlwp(), lwp);
                    guest.curlwpop(CLEAR, lwp);
                })
                .join();
        }
        guest.curlwpop(DESTROY, lwp);
    });
    family.case(
        "outlasts_a_blocking_call",
        "the current lwp is the same after the virtual CPU was given up",
        |guest| {
            let lwp = guest.lwp();
            assert_eq!(guest.gives_up_cpu(|| sleep(RELWALL, 0, 1)), Ok(()));
            assert_eq!(guest.curlwp(), lwp);
        },
    );
    family.case("is_not_inherited", "a thread that a thread of the guest makes has no lwp", |guest| {
        assert_ne!(guest.curlwp(), Lwp::NONE);
        guest.spawn_outside(|| assert_eq!(guest.curlwp(), Lwp::NONE)).join();
    });
}
