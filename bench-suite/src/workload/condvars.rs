//! Workload `condvars`: pairs of clients hand a ball to and fro.

use super::{Client, Kind, Load, Setup};
use crate::guest::GuestError;
use crate::guest::kcondvar::KCondvar;
use crate::guest::kmutex::KMutex;
use core::time::Duration;
use std::sync::Arc;

pub(super) const KIND: Kind = Kind {
    name: "condvars",
    description: "pairs of clients play ping-pong: condition variables, with and without timeout",
    threads: 4,
    multiple: 2,
    disk: 0,
    burst: Some(500),
    host_locks: false,
    setup,
};

/// No handover takes this long, unless it is lost.
const LOST: Duration = Duration::from_secs(60);

struct Ball {
    /// Whose turn it is.
    side: usize,
    /// How often it went from one to the other.
    handed: u64,
    /// One of the two has gone.
    over: bool,
}

struct Pair {
    ball: KMutex<Ball>,
    arrived: [KCondvar; 2],
}

struct PingPong(Box<[Pair]>);

fn setup(setup: &Setup) -> Result<Arc<dyn Load>, GuestError> {
    let pair = |index| {
        let ball = Ball { side: 0, handed: 0, over: false };
        // Every other pair with a spin mutex: a wait gives that back before it asks for a virtual CPU.
        let ball = if index % 2 == 0 { KMutex::new(ball) } else { KMutex::new_spin(ball) };
        Pair { ball, arrived: [KCondvar::new(), KCondvar::new()] }
    };
    Ok(Arc::new(PingPong((0..setup.threads / 2).map(pair).collect())))
}

enum Turn {
    /// The ball was handed over; it had gone to and fro this often.
    Handed(u64),
    /// The partner has gone.
    Over,
    /// The partner is there, but the ball did not come.
    Lost,
}

impl Pair {
    /// Waits for the ball and hands it to the other side.
    fn turn(&self, side: usize, timed: bool) -> Turn {
        let mut ball = self.ball.enter();
        while ball.side != side && !ball.over {
            if !timed {
                self.arrived[side].wait(&mut ball);
            } else if !self.arrived[side].wait_for(&mut ball, LOST) && ball.side != side && !ball.over {
                return Turn::Lost;
            }
        }
        if ball.side != side {
            return Turn::Over;
        }
        let handed = ball.handed;
        ball.side = 1 - side;
        ball.handed += 1;
        if self.arrived[1 - side].has_waiters() {
            self.arrived[1 - side].signal();
        }
        Turn::Handed(handed)
    }

    fn leave(&self, side: usize) {
        self.ball.enter().over = true;
        self.arrived[1 - side].broadcast();
    }
}

impl Load for PingPong {
    fn run(&self, client: &mut Client<'_>) {
        let pair = &self.0[client.index() / 2];
        let side = client.index() % 2;
        let mut expected = side as u64;
        while client.more() {
            let timed = client.rng.one_in(4);
            match client.system_call(|| pair.turn(side, timed)) {
                Turn::Handed(handed) => client.check_eq(handed, expected, "handovers of a ball"),
                Turn::Over => break,
                Turn::Lost => client.check(false, || format!("the ball did not come within {LOST:?}")),
            }
            expected += 2;
            client.done();
        }
        client.system_call(|| pair.leave(side));
    }

    fn verify(&self, operations: u64) -> Result<u64, String> {
        let handed: u64 = self.0.iter().map(|pair| pair.ball.enter().handed).sum();
        if handed == operations {
            Ok(1)
        } else {
            Err(format!("clients handed a ball over {operations} times, and {handed} handovers were counted"))
        }
    }
}
