//! Services for drivers that have hypercalls of their own.

use crate::conformance::calls::{
    component_curlwp, component_kthread, component_kthread_release, component_schedule, component_switchlwp,
    component_unschedule,
};
use crate::conformance::case::Family;
use crate::conformance::guest::{Event, Lwp, new_lwp};
use rumpuser::abi::types::lwp_op::CREATE;

const LEFT: Event = Event::Left { interlock: 0 };
const ASKED: Event = Event::Asked { interlock: 0 };
const BACK: Event = Event::Back { interlock: 0 };

pub(super) fn cases(family: &mut Family<'_>) {
    family.case("unschedule_gives_up_the_cpu", "after component_unschedule the caller has no virtual CPU", |guest| {
        let ((), events) = guest.watch(|| {
            let cookie = component_unschedule();
            assert!(!guest.is_on_cpu());
            guest.mark("works");
            component_schedule(cookie);
            assert!(guest.is_on_cpu());
        });
        assert_eq!(events, [LEFT, Event::Mark("works"), ASKED, BACK]);
    });
    family.case("schedule_restores_the_locks", "the cookie carries the guest's locks, any number of times", |guest| {
        for _ in 0..100 {
            guest.gives_up_cpu(|| component_schedule(component_unschedule()));
        }
    });
    family.case("cookies_of_two_threads", "cookies of threads with other numbers of locks are not mixed up", |guest| {
        let threads: Vec<_> = (0..4)
            .map(|_| {
                guest.spawn(|| {
                    let ((), events) = guest.watch(|| {
                        let cookie = component_unschedule();
                        guest.mark("off");
                        guest.trace.wait_for(Event::Mark("off"), 4);
                        component_schedule(cookie);
                    });
                    assert_eq!(events, [LEFT, Event::Mark("off"), ASKED, BACK]);
                })
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join());
    });
    family.case(
        "others_run_meanwhile",
        "with one virtual CPU, another thread runs while a driver is off it",
        |guest| {
            guest.limit_cpus(1);
            let other = guest.spawn(|| guest.mark("runs"));
            let cookie = component_unschedule();
            guest.trace.wait_for(Event::Mark("runs"), 1);
            component_schedule(cookie);
            guest.aside(|| other.join());
        },
    );
    family.case(
        "kthread_gives_an_lwp_of_process_0",
        "component_kthread gives a host thread an lwp of process 0",
        |guest| {
            let thread = guest.spawn_outside(|| {
                component_kthread();
                assert_ne!(guest.lwp(), Lwp::NONE);
                assert!(!guest.is_on_cpu(), "but no virtual CPU");
                component_kthread_release();
            });
            guest.trace.wait_for(Event::Released, 1);
            let events = thread.events();
            thread.join();
            assert_eq!(events[..3], [Event::Scheduled, Event::NewLwp(0), Event::Unscheduled]);
        },
    );
    family.case(
        "kthread_lwp_stays",
        "the lwp of component_kthread is there whenever the thread is scheduled",
        |guest| {
            guest
                .spawn_outside(|| {
                    component_kthread();
                    let lwp = guest.curlwp();
                    assert_ne!(lwp, Lwp::NONE);
                    assert_eq!(component_curlwp(), lwp);
                    assert_eq!(component_curlwp(), lwp);
                    component_kthread_release();
                })
                .join();
        },
    );
    family.case("kthread_release_takes_it_back", "after component_kthread_release the thread has no lwp", |guest| {
        let thread = guest.spawn_outside(|| {
            component_kthread();
            component_kthread_release();
            assert_eq!(guest.curlwp(), Lwp::NONE);
            guest.mark("released");
        });
        guest.trace.wait_for(Event::Mark("released"), 1);
        let events = thread.events();
        thread.join();
        assert_eq!(events[3..6], [Event::Scheduled, Event::Released, Event::Unscheduled]);
    });
    family.case("curlwp_is_the_guests", "component_curlwp asks the guest, scheduled, and leaves no trace", |guest| {
        let thread = guest.spawn_outside(|| {
            assert_ne!(component_curlwp(), Lwp::NONE, "a thread without an lwp has a temporary one");
            assert_eq!(guest.lwp(), Lwp::NONE, "which is gone");
            guest.mark("asked");
        });
        guest.trace.wait_for(Event::Mark("asked"), 1);
        let events = thread.events();
        thread.join();
        assert_eq!(events[..2], [Event::Scheduled, Event::Unscheduled]);
    });
    family.case("switchlwp_switches", "component_switchlwp makes another lwp the current one", |guest| {
        let lwp = new_lwp();
        guest.curlwpop(CREATE, lwp);
        let thread = guest.spawn_outside(move || {
            component_kthread();
            component_switchlwp(lwp);
            assert_eq!(guest.curlwp(), lwp);
            guest.mark("switched");
            component_kthread_release();
        });
        guest.trace.wait_for(Event::Mark("switched"), 1);
        let events = thread.events();
        thread.join();
        assert_eq!(events[3..6], [Event::Scheduled, Event::Switched(lwp.address()), Event::Unscheduled]);
    });
}
