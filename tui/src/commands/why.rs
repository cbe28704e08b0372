//! `rumpscope why`: why a thread waits, or why a lock is waited for, in words.

use crate::cli::WhyArgs;
use crate::output::Output;
use crate::{exit, waiting};
use rumpscope_reports::contention::why::{NotFound, Subject, render};

/// Prints it; the result is the exit status.
///
/// # Errors
/// When there is nothing to look at, or the result cannot be written.
pub fn run(args: &WhyArgs) -> anyhow::Result<i32> {
    let wanted = args.subject.as_ref().or(args.of.as_ref());
    // With a program behind `--` the one word before it is no process.
    let program = !args.source.measured.program.is_empty();
    let word = args.target.as_deref().filter(|_| program).map(|word| word.to_string_lossy().into_owned());
    let wanted = wanted.or(word.as_ref());
    let target = args.target.as_deref().filter(|_| !program);
    let source = match waiting::of(target, &args.source)? {
        Ok(source) => source,
        Err(status) => return Ok(status),
    };
    let subject = match wanted {
        Some(wanted) => Subject::find(&source.waiting, wanted),
        None => Subject::worst(&source.waiting).ok_or_else(|| NotFound("nobody has waited for anything".to_owned())),
    };
    match subject {
        Err(NotFound(problem)) => {
            tell!("rumpscope: process {}: {problem}", source.pid);
            Ok(exit::NO_PROFILE)
        }
        Ok(subject) => {
            let output = Output::new(None, args.source.ascii)?;
            output.write(|| Ok(String::new()), |style| render(&source.waiting, &subject, args.top, style))?;
            Ok(source.status)
        }
    }
}
