//! Words that the screens use, and what they mean; a part of the help.

/// A word.
#[derive(Debug)]
pub struct Term {
    /// As it stands on the screen.
    pub name: &'static str,
    /// In a sentence.
    pub meaning: &'static str,
}

const fn term(name: &'static str, meaning: &'static str) -> Term {
    Term { name, meaning }
}

/// What is meant, by screen.
pub const GLOSSARY: &[(&str, &[Term])] = &[
    (
        "Words on all screens",
        &[
            term("~", "an estimate: not all were timed, and those are taken to be like the others"),
            term("threads", "how many were in it on average: 2.5 is two and a half seconds of threads in each second"),
            term("p50, p99", "half of them, or 99 %, took no longer; max is at most the longest of the whole time"),
            term("gathered", "part of the time for which threads were put on shared processors"),
            term("lost", "what was not recorded or came too late; figures are without it"),
        ],
    ),
    (
        "Overview and hypercalls",
        &[
            term("running", "a thread of the guest holds the virtual CPU"),
            term("wanted", "a thread holds it while at least one other waits for it"),
            term("idle", "nobody holds it"),
        ],
    ),
    (
        "Transitions",
        &[
            term("cause", "the hypercall that gave the virtual CPU up; guest_entry and guest_own are the guest itself"),
            term("off", "off the virtual CPU, until one is asked for again: what the call waited for"),
            term("waiting", "for a virtual CPU: the price of too few of them"),
            term("run", "on the virtual CPU, until it was given up"),
            term("moves", "coming back on another virtual CPU than before"),
        ],
    ),
    (
        "Contention",
        &[
            term("active", "waits for which looking on a processor was enough, without a sleep"),
            term("now", "threads that wait at this moment"),
            term("holder", "who has the lock now, where it waited for it; ~ who was waited for most"),
            term("held", "the lock was held by somebody who ran, or waited for a processor"),
            term("holder waits", "the lock was held by somebody who waited in a hypercall"),
            term("hand-over", "the lock was free, and the waiter did not have it yet"),
            term("alone", "nobody is waited for: a sleep, a disk, the end of a thread"),
        ],
    ),
    (
        "Threads",
        &[
            term("on vCPU, wants", "parts of the time: on a virtual CPU, and waiting for one"),
            term("cpu, ready", "parts of the time: on a processor of the host, and waiting for one"),
            term("vol/s, inv/s", "processors that it gave up itself, and that were taken from it, in a second"),
            term("IPC", "instructions in a cycle of the processor"),
            term("cmiss", "accesses to memory that no cache could answer"),
            term("hmoves", "moves between processors of the host; moves are those between virtual CPUs"),
        ],
    ),
];
