//! Broken worlds: faults that are made on the living demo one after the other, each of which `oxmox verify` has to see,
//! to explain, and to take for nothing else; then each is healed.
//!
//! ```text
//! choose ─► of each step: verify (health) ─► of each world: break ─► verify, compare ─► heal ─► verify (health)
//! ```
//!
//! * What it promises: exactly the named checks end otherwise than in health, as named and with the named words; a world
//!   that is seen wrongly is told, healed, and fails the demo at the end, so that one run tells all that is wrong.
//! * What it assumes: a healthy demo that has come to the world's step.
//!
//! What no lab can show is judged on saved evidence, in the tests of the crate `verify`. Each step's file says what.

mod act;
mod api;
mod claims;
mod compare;
mod look;
mod machines;
mod monitoring;
mod policies;
mod sample;
mod storage;
mod volumes;
mod workers;
mod world;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use testkit::{NotYet, eventually};
use verify::Report;

use self::act::Lab;
use self::compare::{Wanted, differences};
pub(super) use self::sample::Count;
use self::world::{Do, Expected, World};
use super::Cni;
use super::say::{Stages, line};
use super::set::Set;
use super::workload::Workload;

/// Until a fault is seen, and until health is back: controllers and stores have rounds of their own.
const SEEN: Duration = Duration::from_mins(1);

/// The same for a step: probes of policies take minutes when much is wrong, an alert fires only after its time.
const fn patience(step: u8) -> Duration {
    match step {
        6 => Duration::from_mins(5),
        7 => Duration::from_mins(2),
        _ => SEEN,
    }
}

/// All worlds, step by step.
fn table() -> impl Iterator<Item = &'static World> {
    let all = [
        api::WORLDS,
        storage::WORLDS,
        machines::WORLDS,
        workers::WORLDS,
        volumes::WORLDS,
        claims::WORLDS,
        policies::WORLDS,
        monitoring::WORLDS,
    ];
    all.into_iter().flatten()
}

/// Makes the chosen worlds of a demo that has come to step `last`.
pub(super) async fn run(
    set: &mut Set,
    stages: &mut Stages,
    (workload, administrator): (Option<&Workload>, &pve::Client),
    last: u8,
    (count, seed): (&Count, u64),
) -> Result<()> {
    stages.begin("broken-worlds");
    // what is taken away there is kube-router
    let there = |world: &&World| world.id != policies::NO_ENGINE || set.cni == Cni::KubeRouter;
    let all: Vec<&World> = table().filter(|world| world.from <= last).filter(there).collect();
    let chosen = sample::choose(&all, count, seed);
    stages.note(&format!("{} of the {} worlds of steps 1 to {last}; seed {seed}", chosen.len(), all.len()));
    let before = stored(administrator).await?;
    let mut lab = Lab::new(set, workload);
    let mut wrong = Vec::new();
    let mut health: Option<(u8, Report)> = None;
    for (at, world) in chosen.iter().enumerate() {
        let well = match &health {
            Some((step, report)) if *step == world.step => report.clone(),
            Some(_) | None => look::verify(&lab, world.step, &[]).await.context("verify before anything is broken")?,
        };
        health = Some((world.step, well.clone()));
        let started = Instant::now();
        let made = Box::pin(make(&mut lab, world, &well)).await;
        let mended = Box::pin(heal(&mut lab, world, &well)).await;
        let (place, took) = (format!("world {}/{} {}", at + 1, chosen.len(), world.id), started.elapsed());
        match made {
            Ok(said) => line(&format!("  {place}: {}: {said} as expected, {:.1} s", world.what, took.as_secs_f64())),
            Err(why) => {
                line(&format!("  {place}: {}: WRONG: {}", world.what, daemon::chain(why.as_ref())));
                wrong.push(world.id);
            }
        }
        mended.with_context(|| format!("heal the world `{}`", world.id))?;
        lab.set.must_run()?;
    }
    let freed = eventually(SEEN, || async {
        let now = stored(administrator).await?;
        let left: Vec<&String> = now.difference(&before).collect();
        if left.is_empty() { Ok(()) } else { Err(NotYet::because(format!("left: {left:?}"))) }
    });
    freed.await.context("what broken worlds have left at Proxmox VE")?;
    if !wrong.is_empty() {
        bail!("{} of {} broken worlds were seen wrongly: {}", wrong.len(), chosen.len(), wrong.join(", "));
    }
    stages.note(&format!("{} broken worlds, each seen and explained, and healed", chosen.len()));
    Ok(())
}

/// Volumes that Proxmox VE has.
async fn stored(administrator: &pve::Client) -> Result<BTreeSet<String>> {
    let all = super::proxmox::inventory(administrator).await?;
    Ok(all.into_iter().filter(|line| line.starts_with("volume ")).collect())
}

/// Breaks it and waits until it is seen as it should be; what was said of it.
async fn make(lab: &mut Lab<'_>, world: &World, health: &Report) -> Result<String> {
    lab.learn().await.context("look around")?;
    let mut told = None;
    for what in world.breaks {
        let line = lab.perform(what).await.with_context(|| format!("break: {what:?}"))?;
        told = told.or(line);
    }
    let wanted: Vec<Wanted> = world
        .expects
        .iter()
        .map(|Expected { check, is, says }| Wanted { check: (*check).to_owned(), is: *is, says: lab.fill(says) })
        .collect();
    let seen = eventually(patience(world.step), || async {
        let now = look::verify(lab, world.step, world.with).await?;
        let all = differences(health, &now, &wanted);
        if all.is_empty() { Ok(now) } else { Err(NotYet::because(all.join("; "))) }
    });
    let now = seen.await?;
    let first = wanted.first().and_then(|one| now.checks().find(|check| check.id == one.check));
    let told = || format!("\"{}\"", told.unwrap_or_default().trim());
    Ok(first.map_or_else(told, |check| format!("{}: \"{}\"", check.id, check.message)))
}

/// Heals it, whatever came before, and waits until health is back.
async fn heal(lab: &mut Lab<'_>, world: &World, health: &Report) -> Result<()> {
    let mut failed: Vec<(&Do, anyhow::Error)> = Vec::new();
    for what in world.heals {
        if let Err(why) = lab.perform(what).await {
            failed.push((what, why));
        }
    }
    let back = eventually(patience(world.step), || async {
        let now = look::verify(lab, world.step, &[]).await?;
        let all = differences(health, &now, &[]);
        if all.is_empty() { Ok(()) } else { Err(NotYet::because(all.join("; "))) }
    });
    back.await.context("wait until all is well again")?;
    match failed.into_iter().next() {
        Some((what, why)) => Err(why.context(format!("{what:?}"))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn each_world_has_an_id_of_its_own_in_its_step_and_something_that_must_be_seen() {
        let ids: BTreeSet<&str> = table().map(|world| world.id).collect();
        assert_eq!(ids.len(), table().count());
        for world in table() {
            let World { id, step, from, expects, breaks, with, heals, .. } = *world;
            let name = verify::STEPS[usize::from(step) - 1].id.as_str();
            assert!(id.starts_with(&format!("{name}.")), "{id} is of step {name}");
            assert!(from >= step.min(3) || step <= 2, "{id}");
            assert!(!breaks.is_empty() || !with.is_empty(), "{id} breaks nothing");
            assert_eq!(breaks.is_empty(), heals.is_empty(), "{id} heals what it breaks");
            let told = breaks.iter().any(|one| matches!(one, Do::Until(..)));
            assert!(!expects.is_empty() || told, "{id} has nothing to be seen by");
            assert!(expects.iter().all(|one| !one.says.is_empty()), "{id} says what must be said");
            for one in expects {
                let check = verify::CHECKS.iter().find(|check| check.id == one.check);
                assert_eq!(check.map(|check| check.step.as_str()), Some(name), "{id}: {}", one.check);
            }
        }
        assert!(table().map(|world| world.step).is_sorted(), "health is looked at once a step");
    }
}
