//! `rumpscope ls`: the instrumented kernels of this user.

use crate::cli::LsArgs;
use crate::live::kernels::{self, Found, Kernel, Kernels};
use crate::terminal;
use anyhow::Context;
use rumpscope_probes::segment_folder;
use rumpscope_reports::grid::{Column, Grid};
use rumpscope_reports::{Style, units};
use serde_json::json;
use std::io::{ErrorKind, Write};
use std::path::PathBuf;
use std::time::Duration;

/// How long it is looked for hypercalls.
const LOOK: Duration = Duration::from_millis(300);

/// What the JSON says it is.
const SCHEMA: &str = "rumpscope.kernels";
/// Goes up when a field changes its meaning or goes away; new fields may come without that.
const VERSION: u32 = 1;

/// Lists them; the result is the exit status.
///
/// # Errors
/// When the list cannot be written, or nothing be removed.
pub fn run(args: &LsArgs) -> anyhow::Result<i32> {
    let mut looks = Kernels::default();
    let mut found = looks.look();
    if found.iter().any(|found| matches!(found, Found::Kernel(kernel) if kernel.alive)) {
        std::thread::sleep(LOOK);
        found = looks.look();
    }
    let (mut kernels, mut unreadable) = (Vec::new(), Vec::new());
    for found in found {
        match found {
            Found::Kernel(kernel) => kernels.push(kernel),
            Found::Unreadable { path, reason } => unreadable.push((path, reason)),
        }
    }
    if args.clean {
        clean(&mut kernels)?;
    }
    let text = if args.json {
        render_json(&kernels, &unreadable)
    } else {
        render(&kernels, &unreadable, &terminal::style(args.ascii))
    };
    match std::io::stdout().write_all(text.as_bytes()) {
        // Whoever reads it has read enough.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
        written => written.context("cannot write the list to standard output")?,
    }
    Ok(0)
}

/// Removes those that have ended, and says so; those that are gone are in the list no more.
fn clean(kernels: &mut Vec<Kernel>) -> anyhow::Result<()> {
    let mut left = Vec::new();
    let mut removed = 0;
    for kernel in std::mem::take(kernels) {
        let gone = !kernel.alive
            && kernels::remove(&kernel).with_context(|| format!("cannot remove {}", kernel.path.display()))?;
        if gone {
            removed += 1;
        } else {
            left.push(kernel);
        }
    }
    *kernels = left;
    tell!("rumpscope: removed {removed} segments of processes that have ended");
    Ok(())
}

/// The list for people.
pub fn render(kernels: &[Kernel], unreadable: &[(PathBuf, String)], style: &Style) -> String {
    if kernels.is_empty() && unreadable.is_empty() {
        return format!(
            "No instrumented kernel has its segment in {}. `rumpscope run` starts one.\n",
            segment_folder().display()
        );
    }
    let columns = [("pid", 0), ("state", 0), ("vCPUs", 1), ("age", 0), ("hypercalls/s", 0), ("back end", 3)];
    let mut columns: Vec<_> = columns.into_iter().map(|(name, drop)| Column::new(name, drop)).collect();
    columns.push(Column::new("program", 2));
    let row = |kernel: &Kernel| {
        vec![
            kernel.process.pid.to_string(),
            if kernel.alive { "runs" } else { "dead" }.to_owned(),
            kernel.vcpus.to_string(),
            units::time(kernel.measured.as_nanos() as f64, style.ascii),
            kernel.per_second.filter(|_| kernel.alive).map_or("-".to_owned(), units::rate),
            kernel.backend.clone(),
            kernel.process.program.clone(),
        ]
    };
    let mut text = String::new();
    if !kernels.is_empty() {
        text = Grid { columns, rows: kernels.iter().map(row).collect() }.render(style);
    }
    for (_, reason) in unreadable {
        text.push_str(&format!("{reason}\n"));
    }
    text
}

fn render_json(kernels: &[Kernel], unreadable: &[(PathBuf, String)]) -> String {
    let kernel = |kernel: &Kernel| {
        json!({
            "pid": kernel.process.pid,
            "program": kernel.process.program,
            "state": if kernel.alive { "alive" } else { "dead" },
            "vcpus": kernel.vcpus,
            "began_unix_ns": kernel.process.began_unix_ns,
            "measured_ns": kernel.measured.as_nanos() as u64,
            "hypercalls": kernel.calls,
            "hypercalls_per_second": kernel.per_second.filter(|_| kernel.alive),
            "backend": kernel.backend,
            "segment": kernel.path.to_string_lossy(),
        })
    };
    let document = json!({
        "schema": SCHEMA,
        "version": VERSION,
        "rumpscope": env!("CARGO_PKG_VERSION"),
        "kernels": kernels.iter().map(kernel).collect::<Vec<_>>(),
        "unreadable": unreadable
            .iter()
            .map(|(path, reason)| json!({ "segment": path.to_string_lossy(), "reason": reason }))
            .collect::<Vec<_>>(),
    });
    format!("{document}\n")
}
