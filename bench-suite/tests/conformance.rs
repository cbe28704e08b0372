//! The conformance suite on our library, and on another one where `RUMPSCOPE_CONFORMANCE_LIBRARY` names it: every case
//! is one test.

use libtest_mimic::{Arguments, Trial};
use rumpscope_bench_suite::conformance::{self, LIBRARY_VARIABLE};
use rumpscope_bench_suite::hypervisor;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

/// A symbol of the main program that the guest's loader has to find.
#[unsafe(no_mangle)]
pub extern "C" fn rumpscope_conformance_program() {}

fn main() -> ExitCode {
    conformance::child_main();
    let mut arguments = Arguments::from_args();
    // The cases are short and mostly wait; more at a time would only starve each other's deadlines.
    arguments.test_threads.get_or_insert(2);

    let program: Arc<Path> = std::env::current_exe().expect("the path of this program").into();
    let Some(own) = hypervisor::own_library() else {
        eprintln!("there is no librumpuser.so beside {}: build rumpscope-core first", program.display());
        return ExitCode::FAILURE;
    };
    let mut trials = trials("ours", own, &program, |_| true);
    match std::env::var_os(LIBRARY_VARIABLE) {
        Some(other) => trials.extend(self::trials("other", other.into(), &program, |case| !case.ours_only)),
        None => eprintln!("conformance of another library: skipped, {LIBRARY_VARIABLE} is not set"),
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// One trial for every case that is `wanted`, named after the library that it runs on.
fn trials(
    subject: &str,
    library: PathBuf,
    program: &Arc<Path>,
    wanted: impl Fn(&conformance::Case) -> bool,
) -> Vec<Trial> {
    let library: Arc<Path> = library.into();
    conformance::all()
        .into_iter()
        .filter(wanted)
        .map(|case| {
            let (library, program) = (Arc::clone(&library), Arc::clone(program));
            Trial::test(format!("{subject}::{}", case.name), move || Ok(conformance::run(&case, &library, &program)?))
        })
        .collect()
}
