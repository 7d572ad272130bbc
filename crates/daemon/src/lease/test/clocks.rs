//! Elections among clocks that run at different speeds, over a network that delays and loses.
//!
//! The model is small and strict: what a candidate believes is computed by the rules under test, and
//! whether two believe at once is checked in real time, which none of them knows.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::LeaseSpec;
use proptest::prelude::*;

use super::super::{
    Settings,
    rules::{self, Leading, Seen, Waiting},
};

/// Real time goes in steps of this.
const TICK_MS: u64 = 100;
/// A call is given up after this, on its caller's clock.
const LIMIT: Duration = Duration::from_secs(5);

/// What happens to one call: how long it travels, how long its answer does, whether that is lost.
#[derive(Clone, Copy, Debug)]
struct Fate {
    out_ms: u64,
    back_ms: u64,
    answer_lost: bool,
}

#[derive(Clone, Debug)]
enum Order {
    Read,
    Write { over: u64, spec: LeaseSpec },
}

#[derive(Clone, Debug)]
struct Flight {
    order: Order,
    sent_local: Duration,
    arrives_ms: u64,
    answer_ms: Option<u64>,
    answer: Option<Result<(u64, LeaseSpec), ()>>,
}

#[derive(Clone, Debug)]
enum Belief {
    Waits { seen: Option<Seen>, take: Option<u64> },
    Leads { spec: LeaseSpec, version: u64, renewed: Duration, tried: Duration },
}

struct Candidate {
    name: String,
    /// Thousandths of real time; and what its clock showed at the start.
    speed: u64,
    offset: u64,
    belief: Belief,
    flight: Option<Flight>,
    /// Calls given up, still on their way to the server.
    stray: Vec<Flight>,
    wake: Duration,
    asleep_until_ms: u64,
}

impl Candidate {
    fn clock(&self, real_ms: u64) -> Duration {
        Duration::from_micros(self.offset * 1000 + real_ms * self.speed)
    }

    fn leads(&self, settings: Settings, real_ms: u64) -> bool {
        matches!(&self.belief, Belief::Leads { renewed, .. } if self.clock(real_ms) < *renewed + settings.renew_deadline)
    }
}

#[derive(Default)]
struct Server {
    version: u64,
    spec: LeaseSpec,
}

impl Server {
    fn obey(&mut self, order: &Order) -> Result<(u64, LeaseSpec), ()> {
        match order {
            Order::Read => Ok((self.version, self.spec.clone())),
            Order::Write { over, spec } if *over == self.version => {
                self.version += 1;
                self.spec = spec.clone();
                Ok((self.version, self.spec.clone()))
            }
            Order::Write { .. } => Err(()),
        }
    }
}

struct World {
    settings: Settings,
    server: Server,
    candidates: Vec<Candidate>,
    fates: Vec<Fate>,
    calls: usize,
    /// Counts writes so that no two renewals look alike.
    writes: i32,
}

impl World {
    fn step(&mut self, real_ms: u64) {
        for index in 0..self.candidates.len() {
            self.deliver(index, real_ms);
            if real_ms >= self.candidates[index].asleep_until_ms {
                self.think(index, real_ms);
            }
        }
    }

    fn deliver(&mut self, index: usize, real_ms: u64) {
        let candidate = &mut self.candidates[index];
        for flight in candidate.flight.iter_mut().chain(&mut candidate.stray) {
            if flight.answer.is_none() && real_ms >= flight.arrives_ms {
                flight.answer = Some(self.server.obey(&flight.order));
            }
        }
        candidate.stray.retain(|flight| flight.answer.is_none());
    }

    fn think(&mut self, index: usize, real_ms: u64) {
        let settings = self.settings;
        let now = self.candidates[index].clock(real_ms);
        if let Some(flight) = self.candidates[index].flight.take() {
            if flight.answer.is_some() && flight.answer_ms.is_some_and(|at| real_ms >= at) {
                self.hear(index, &flight, now);
            } else if now >= flight.sent_local + LIMIT {
                self.candidates[index].stray.push(flight);
                self.candidates[index].wake = now + settings.retry_period;
            } else {
                self.candidates[index].flight = Some(flight);
            }
        }
        if let Belief::Leads { renewed, .. } = self.candidates[index].belief
            && now >= renewed + settings.renew_deadline
        {
            self.candidates[index].belief = Belief::Waits { seen: None, take: None };
        }
        if self.candidates[index].flight.is_some() {
            return;
        }
        let candidate = &mut self.candidates[index];
        let write_over = match &mut candidate.belief {
            Belief::Waits { take, .. } => match take.take() {
                Some(over) => Some(over),
                None if now >= candidate.wake => None,
                None => return,
            },
            Belief::Leads { spec, version, renewed, tried } => {
                match rules::leading(&candidate.name, settings, spec, *renewed, *tried, now) {
                    Leading::Renew => {
                        *tried = now;
                        Some(*version)
                    }
                    Leading::Wait(_) => return,
                    Leading::Lose => {
                        candidate.belief = Belief::Waits { seen: None, take: None };
                        return;
                    }
                }
            }
        };
        let order = match write_over {
            None => Order::Read,
            Some(over) => {
                self.writes += 1;
                let spec = LeaseSpec {
                    holder_identity: Some(candidate.name.clone()),
                    lease_duration_seconds: Some(15),
                    lease_transitions: Some(self.writes),
                    ..LeaseSpec::default()
                };
                Order::Write { over, spec }
            }
        };
        let fate = self.fates[self.calls % self.fates.len()];
        self.calls += 1;
        let arrives_ms = real_ms + fate.out_ms;
        candidate.flight = Some(Flight {
            order,
            sent_local: now,
            arrives_ms,
            answer_ms: (!fate.answer_lost).then_some(arrives_ms + fate.back_ms),
            answer: None,
        });
    }

    fn hear(&mut self, index: usize, flight: &Flight, now: Duration) {
        let settings = self.settings;
        let candidate = &mut self.candidates[index];
        let Some(answer) = flight.answer.clone() else { return };
        candidate.wake = now + settings.retry_period;
        match (&flight.order, answer, &mut candidate.belief) {
            (Order::Read, Ok((version, spec)), Belief::Waits { seen, take }) => {
                *seen = Some(Seen::next(seen.take(), spec, now));
                match rules::waiting(&candidate.name, settings, seen.as_ref(), now) {
                    Waiting::Take => *take = Some(version),
                    Waiting::Wait(pause) => candidate.wake = now + pause,
                }
            }
            (Order::Write { .. }, Ok((version, spec)), belief) => {
                *belief = Belief::Leads { spec, version, renewed: flight.sent_local, tried: flight.sent_local };
            }
            // A refused renewal: the real thing looks again; giving up at once is stricter on liveness.
            (Order::Write { .. }, Err(()), belief @ Belief::Leads { .. }) => {
                *belief = Belief::Waits { seen: None, take: None }
            }
            (Order::Read, _, _) | (Order::Write { .. }, Err(()), Belief::Waits { .. }) => {}
        }
    }
}

fn fates() -> impl Strategy<Value = Vec<Fate>> {
    let fate = prop_oneof![
        6 => (0..300_u64, 0..300_u64, Just(false)),
        2 => (0..12_000_u64, 0..12_000_u64, any::<bool>()),
        1 => (0..30_000_u64, 0..300_u64, Just(true)),
    ];
    proptest::collection::vec(
        fate.prop_map(|(out_ms, back_ms, answer_lost)| Fate { out_ms, back_ms, answer_lost }),
        1..40,
    )
}

/// Speeds within ±15 %: a ratio of 1.35, below the 1.5 that the defaults allow.
fn speeds() -> impl Strategy<Value = Vec<(u64, u64)>> {
    proptest::collection::vec((850..=1150_u64, 0..1_000_000_u64), 2..5)
}

fn world(clocks: &[(u64, u64)], fates: Vec<Fate>) -> World {
    let candidates = clocks
        .iter()
        .enumerate()
        .map(|(index, &(speed, offset))| {
            let mut candidate = Candidate {
                name: format!("candidate-{index}"),
                speed,
                offset,
                belief: Belief::Waits { seen: None, take: None },
                flight: None,
                stray: Vec::new(),
                wake: Duration::ZERO,
                asleep_until_ms: 0,
            };
            candidate.wake = candidate.clock(0);
            candidate
        })
        .collect();
    World { settings: Settings::default(), server: Server::default(), candidates, fates, calls: 0, writes: 0 }
}

proptest! {
    #[test]
    fn there_are_never_two_leaders_whatever_the_clocks_and_the_network_do(
        clocks in speeds(),
        fates in fates(),
        naps in proptest::collection::vec((0..4_usize, 0..240_u64, 0..60_u64), 0..6),
    ) {
        let mut world = world(&clocks, fates);
        for tick in 0..2400 {
            let real_ms = tick * TICK_MS;
            for (who, at, long) in &naps {
                if at * 1000 == real_ms && let Some(candidate) = world.candidates.get_mut(*who) {
                    candidate.asleep_until_ms = real_ms + long * 1000;
                }
            }
            world.step(real_ms);
            let leaders: Vec<_> = world.candidates.iter().filter(|c| c.leads(world.settings, real_ms)).map(|c| &c.name).collect();
            prop_assert!(leaders.len() <= 1, "at {real_ms} ms: {leaders:?}");
        }
    }

    #[test]
    fn on_a_good_network_one_leads_soon_stays_and_is_followed_when_it_vanishes(clocks in speeds(), out_ms in 0..300_u64, back_ms in 0..300_u64) {
        let mut world = world(&clocks, vec![Fate { out_ms, back_ms, answer_lost: false }]);
        let leader = |world: &World, real_ms: u64| world.candidates.iter().find(|c| c.leads(world.settings, real_ms)).map(|c| c.name.clone());
        let mut first = None;
        for tick in 0..600 {
            let real_ms = tick * TICK_MS;
            world.step(real_ms);
            let now = leader(&world, real_ms);
            if tick >= 60 {
                prop_assert!(now.is_some(), "nobody leads at {real_ms} ms");
                prop_assert_eq!(first.get_or_insert_with(|| now.clone()), &now, "the lease changed hands for no reason");
            }
        }
        let gone = first.flatten();
        world.candidates.retain(|c| Some(&c.name) != gone.as_ref());
        // 15 s on the slowest clock, two looks and two calls.
        let followed = (600..600 + 250).any(|tick| {
            world.step(tick * TICK_MS);
            leader(&world, tick * TICK_MS).is_some()
        });
        prop_assert!(followed, "nobody followed");
    }
}
