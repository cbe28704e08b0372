//! `rumpscope bench`: runs host back ends in turn and compares them, or what was stored of that.

use crate::bench::{across as across_table, cores::Cores, launch, progress::Progress, table};
use crate::cli::BenchArgs;
use crate::output::Output;
use crate::{exit, interrupt};
use anyhow::{Context, anyhow, bail};
use rumpscope_bench_suite::ab::{Across, Amount, Bench, Case, Guest, Load, Outcome, Plan, Variant};
use rumpscope_bench_suite::genuine::Libraries;
use std::path::PathBuf;
use std::time::Duration;

/// Makes the bench; the result is the exit status.
///
/// # Errors
/// When it cannot be made, its runs not be compared, or its result not be written.
pub fn run(args: &BenchArgs) -> anyhow::Result<i32> {
    if let [one, two] = &args.compare[..] {
        return across(args, [one, two]);
    }
    let plan = match plan(args) {
        Ok(plan) => plan,
        Err(error) => {
            tell!("rumpscope: {error:#}");
            return Ok(exit::BAD_USAGE);
        }
    };
    // Made before the runs: a wrong name is not found out after them.
    let output = Output::new(args.json.as_deref(), args.ascii)?;
    interrupt::catch().context("cannot wait for Ctrl-C")?;
    let mut bench = Bench::new(plan);
    let cores = bench.plan.guest_cores.map(|count| Cores::divide(count as usize)).transpose()?;
    let made = make(&mut bench, cores.as_ref(), args.force);
    bench.finish();
    // What there is, also where no more can be made: it may be the work of hours.
    if made.is_ok() || !bench.runs.is_empty() {
        output.write(|| Ok(bench.to_json()?), |style| table::render(&bench, style))?;
    }
    made?;
    let is_interrupted = !bench.complete;
    let is_answered = bench.runs.iter().any(|run| run.measured().is_some());
    Ok(if is_interrupted || is_answered { 0 } else { exit::NO_PROFILE })
}

/// Compares two benches that were stored.
fn across(args: &BenchArgs, files: [&PathBuf; 2]) -> anyhow::Result<i32> {
    let read = |path: &PathBuf| {
        let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        Bench::from_json(&text).with_context(|| format!("cannot compare {}", path.display()))
    };
    let [one, two] = [read(files[0])?, read(files[1])?];
    let [first, second] = files.map(|path| path.display().to_string());
    let across = Across::new([(&first, &one), (&second, &two)], args.force)
        .map_err(|mismatch| anyhow!("{mismatch}; --force compares them nevertheless"))?;
    if across.rows.is_empty() {
        bail!("{first} and {second} have no load with a back end of the same name");
    }
    let output = Output::new(args.json.as_deref(), args.ascii)?;
    output.write(|| Ok(across.to_json()?), |style| across_table::render(&across, style))?;
    Ok(0)
}

/// Makes all runs, or those up to an interruption.
///
/// # Errors
/// When no more can be made, or the last one cannot be compared with the others, and is left out.
fn make(bench: &mut Bench, cores: Option<&Cores>, force: bool) -> anyhow::Result<()> {
    let order = bench.plan.order();
    let progress = Progress::new(order.len());
    for (done, slot) in order.into_iter().enumerate() {
        if interrupt::arrived() {
            break;
        }
        progress.show(done, &bench.plan.cases[slot.case].to_string());
        // Without the first there is nothing to compare with.
        if bench.has_failed(slot.case, slot.variant) || bench.has_failed(slot.case, 0) {
            bench.add(slot, Outcome::Skipped);
            continue;
        }
        let Some(outcome) = launch::launch(&bench.plan, cores, slot)? else { break };
        bench.add(slot, outcome);
        if let Err(mismatch) = bench.check()
            && !force
        {
            bench.runs.pop();
            bail!("these runs cannot be compared: {mismatch}; --force compares them nevertheless");
        }
    }
    Ok(())
}

fn plan(args: &BenchArgs) -> anyhow::Result<Plan> {
    let variants =
        args.backend.iter().map(|text| Variant::parse(text, &args.block_io)).collect::<Result<Vec<_>, _>>()?;
    let variants = variants.concat();
    if !args.block_io.is_empty() && !variants.iter().any(Variant::has_block_io) {
        bail!("--block-io is for our own back ends, and none of these is: another library has an engine of its own");
    }
    if let Some(twice) = variants.iter().enumerate().find_map(|(index, variant)| {
        variants[..index].iter().any(|other| other.label == variant.label).then_some(&variant.label)
    }) {
        bail!("back end {twice} is named twice: each needs its own name, as in again={twice}");
    }
    let (guest, loads) = guest(args)?;
    let ns = |time: Duration| u64::try_from(time.as_nanos()).context("a time is too long");
    let amount = match args.operations {
        Some(operations) => Amount::Operations(operations),
        None => Amount::DurationNs(ns(args.duration)?),
    };
    Ok(Plan {
        seed: args.seed.unwrap_or_else(|| rumpscope_probes::clock::unix_ns() % 1_000_000),
        rounds: args.rounds,
        amount,
        warm_up_ns: ns(args.warm_up)?,
        guest_cores: args.guest_cores.map(u32::from),
        guest,
        cases: cases(args, &loads),
        variants: Plan::with_noise(&variants),
    })
}

/// The guest, and the loads that it can run of those that are wanted.
fn guest(args: &BenchArgs) -> anyhow::Result<(Guest, Vec<Load>)> {
    let named = args.workload.iter().map(|name| Load::of(&args.guest, name)).collect::<Result<Vec<_>, _>>();
    let mut loads = named.map_err(|unknown| anyhow!(unknown))?;
    if loads.is_empty() {
        loads = Load::all(&args.guest);
    }
    let Guest::Genuine(folder) = &args.guest else { return Ok((Guest::Embedded, loads)) };
    let libraries = Libraries::find(folder)?;
    loads.retain(|load| match load {
        Load::Embedded(_) => true,
        Load::Genuine(load) => {
            libraries.check(*load).inspect_err(|missing| tell!("rumpscope: {missing}; it is left out")).is_ok()
        }
    });
    if loads.is_empty() {
        bail!("the kernel has not the libraries that the loads need");
    }
    Ok((Guest::Genuine(libraries.folder().to_owned()), loads))
}

/// Every load with every number of virtual CPUs and of threads, once.
fn cases(args: &BenchArgs, loads: &[Load]) -> Vec<Case> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from).min(256) as u32;
    let ncpu = if args.ncpu.is_empty() { vec![cores] } else { args.ncpu.iter().copied().map(u32::from).collect() };
    let threads: Vec<_> = args.threads.iter().map(|threads| Some(usize::from(*threads))).collect();
    let threads = if threads.is_empty() { vec![None] } else { threads };
    let mut cases = Vec::new();
    for &workload in loads {
        for &ncpu in &ncpu {
            for threads in &threads {
                let case = Case { workload, ncpu, threads: threads.map(|threads| workload.threads_for(threads)) };
                if !cases.contains(&case) {
                    cases.push(case);
                }
            }
        }
    }
    cases
}
