//! The conformance suite on our library with each of its back ends, on another library where
//! `RUMPSCOPE_CONFORMANCE_LIBRARY` names one, and with another back end where `RUMPSCOPE_CONFORMANCE_BACKEND` does (such as
//! `external:FILE`): every case is one test.

use libtest_mimic::{Arguments, Trial};
use rumpscope_bench_suite::conformance::{self, BACKEND_VARIABLE, Case, LIBRARY_VARIABLE, Subject};
use rumpscope_bench_suite::hypervisor;
use rumpuser::host::backend::choice;
use std::ffi::OsString;
use std::path::Path;
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
    let ours = |backend: Option<OsString>| Subject { library: own.clone(), backend };
    let mut trials = trials("ours", ours(None), &program, |_| true);
    for backend in choice::NAMES.into_iter().skip(1) {
        // What the back ends share has been tested above.
        let concerned = |case: &Case| case.concerns_backend(backend);
        trials.extend(self::trials(backend, ours(Some(backend.into())), &program, concerned));
    }
    let any_library = |case: &Case| !case.ours_only;
    match std::env::var_os(LIBRARY_VARIABLE) {
        Some(library) => {
            trials.extend(self::trials(
                "other",
                Subject { library: library.into(), backend: None },
                &program,
                any_library,
            ));
        }
        None => eprintln!("conformance of another library: skipped, {LIBRARY_VARIABLE} is not set"),
    }
    match std::env::var_os(BACKEND_VARIABLE) {
        Some(backend) => trials.extend(self::trials("backend", ours(Some(backend)), &program, any_library)),
        None => eprintln!("conformance of another back end: skipped, {BACKEND_VARIABLE} is not set"),
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// One trial for every case that is `wanted`, named after what it runs on.
fn trials(name: &str, subject: Subject, program: &Arc<Path>, wanted: impl Fn(&Case) -> bool) -> Vec<Trial> {
    let subject = Arc::new(subject);
    conformance::all()
        .into_iter()
        .filter(wanted)
        .map(|case| {
            let (subject, program) = (Arc::clone(&subject), Arc::clone(program));
            Trial::test(format!("{name}::{}", case.name), move || Ok(conformance::run(&case, &subject, &program)?))
        })
        .collect()
}
