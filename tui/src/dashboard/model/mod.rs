//! What the screens show, made of samples: differences, figures, and how they went over time.

mod figures;
mod heat;
mod history;
mod locks;
mod span;
mod threads;
mod transitions;

pub use figures::{Figures, quantiles};
pub use heat::Heat;
pub use history::{History, Point};
pub use locks::{GroupSpan, Holder, LockSpan, brief, grouped, lock_points, locks, seconds, short_kind};
pub use span::{CallSpan, Shares, Span, VcpuSpan};
pub use threads::{Counted, GuestSpan, HostSpan, Now, ThreadKey, ThreadSpan, state_name, threads};
pub use transitions::{Matrix, Phase, TransitionSpan, transitions};
