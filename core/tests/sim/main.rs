//! A seeded simulation: exchanges on simulated time against scripted endpoints, while snapshots
//! change under them. `SIM_SEED=n` replays one seed.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

mod adoption;
mod endpoint;
mod flow;
mod opaque;
mod shift;
mod waiting;
mod workload;
mod world;

/// The seeds to run: all 256, or the one to replay.
fn seeds() -> Vec<u64> {
    match std::env::var("SIM_SEED") {
        Ok(seed) => vec![seed.parse().unwrap()],
        Err(_) => (0..256).collect(),
    }
}

#[test]
fn invariants_hold_for_every_seed() {
    let mut totals = workload::Totals::default();
    for seed in seeds() {
        println!("SIM_SEED={seed}");
        totals.add(&workload::run(seed));
    }
    println!("{totals:?}");
    if std::env::var("SIM_SEED").is_err() {
        totals.assert_everything_happened();
    }
}
