//! Runs the embedded guest in this process and prints what came of it. For tests and for people who work on the guest
//! or on a host library; `rumpscope run` is for everyone else.

use rumpscope_bench_suite::guest::{self, GuestOptions, GuestReport};
use rumpscope_bench_suite::hypervisor::{Hypervisor, own_library};
use rumpscope_bench_suite::workload::Workload;
use rumpscope_probes::CATALOGUE;
use std::error::Error;
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

const USAGE: &str = "\
Usage: embedded-guest [WORKLOAD] [--seconds S] [--operations N] [--threads N] [--ncpu N] [--seed N] [--image PATH]
                      [--hypercalls]
Runs on the library that RUMPSCOPE_LIBRARY names, or on ours. --hypercalls: also print how often the guest called each.
Workloads:";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("embedded-guest: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let mut options = GuestOptions::default();
    let mut hypercalls = false;
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or_else(|| format!("{argument} needs a value"));
        match argument.as_str() {
            "--help" => {
                return print_usage();
            }
            "--hypercalls" => hypercalls = true,
            "--seconds" => options.duration = Some(Duration::try_from_secs_f64(value()?.parse()?)?),
            "--operations" => options.operations = Some(value()?.parse()?),
            "--threads" => options.threads = Some(value()?.parse()?),
            "--ncpu" => options.ncpu = Some(value()?.parse()?),
            "--seed" => options.seed = value()?.parse()?,
            "--image" => options.image = Some(value()?.into()),
            workload => options.workload = workload.parse()?,
        }
    }
    let library = own_library().ok_or("no librumpuser.so: build rumpscope-core, or set RUMPSCOPE_LIBRARY")?;
    let report = guest::run(&options, Hypervisor::load(&library)?)?;
    print(&report, hypercalls)
}

fn print_usage() -> Result<(), Box<dyn Error>> {
    let mut out = io::stdout().lock();
    writeln!(out, "{USAGE}")?;
    for workload in Workload::ALL {
        writeln!(out, "  {:<10} {}", workload.name(), workload.description())?;
    }
    Ok(())
}

fn print(report: &GuestReport, hypercalls: bool) -> Result<(), Box<dyn Error>> {
    let mut out = io::stdout().lock();
    writeln!(out, "{report}")?;
    for part in &report.parts {
        let (operations, checks) = (part.operations, part.checks);
        writeln!(
            out,
            "part {:<10} {operations:>12} operations {checks:>12} checks {:>4} threads",
            part.workload, part.threads
        )?;
    }
    for (index, cpu) in report.cpus.iter().enumerate() {
        writeln!(out, "cpu {index}: {} fast, {} slow, {} migrations", cpu.fast, cpu.slow, cpu.migrations)?;
    }
    if hypercalls {
        for (entry, calls) in CATALOGUE.iter().zip(&report.hypercalls) {
            writeln!(out, "hypercall {} {calls}", entry.name)?;
        }
    }
    Ok(())
}
