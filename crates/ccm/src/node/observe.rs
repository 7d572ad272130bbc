//! Looks up one fact. Only reads.

use ipnet::IpNet;
use plan::Seen;
use plan::node::{Answers, Interface, Look, Number, Power};
use pve::Refusal;

use crate::run::Context;
use crate::view;

/// Looks, and puts the answer where the plan finds it.
pub(super) async fn answer(ctx: &Context, look: &Look, answers: &mut Answers) {
    match look {
        Look::Identity { region, node, vmid, fresh } => {
            let seen = match ctx.of(region) {
                Some(at) => at.identity(node, *vmid, *fresh).await,
                None => Seen::Unread(no_region(region)),
            };
            answers.identities.insert((region.clone(), *vmid), seen);
        }
        Look::Power { region, node, vmid } => {
            let seen = match ctx.of(region) {
                Some(at) => match at.client.guest_status(node, *vmid).await {
                    Ok(state) => Seen::Known(power(&state)),
                    Err(why) if why.refusal() == Some(&Refusal::NotFound) => Seen::Absent,
                    Err(why) => Seen::Unread(view::words(&why)),
                },
                None => Seen::Unread(no_region(region)),
            };
            answers.power.insert((region.clone(), *vmid), seen);
        }
        Look::Standing { region } => {
            let seen = match ctx.of(region) {
                Some(at) => at.standing().await,
                None => Seen::Unread(no_region(region)),
            };
            answers.standings.insert(region.clone(), seen);
        }
        Look::Number { region, vmid } => {
            let seen = match ctx.of(region) {
                Some(at) => match at.client.vmid_is_free(*vmid).await {
                    Ok(true) => Seen::Known(Number::Free),
                    Ok(false) => Seen::Known(Number::Taken),
                    Err(why) => Seen::Unread(view::words(&why)),
                },
                None => Seen::Unread(no_region(region)),
            };
            answers.numbers.insert((region.clone(), *vmid), seen);
        }
        Look::Agent { region, node, vmid } => {
            let seen = match ctx.of(region) {
                Some(at) => match at.client.agent_interfaces(node, *vmid).await {
                    Ok(all) => Seen::Known(all.into_iter().map(interface).collect()),
                    Err(why) => Seen::Unread(view::words(&why)),
                },
                None => Seen::Unread(no_region(region)),
            };
            answers.agents.insert((region.clone(), *vmid), seen);
        }
    }
}

fn no_region(region: &str) -> String {
    format!("there are no credentials for region `{region}`")
}

/// Stopped is what both Proxmox VE and QEMU call so.
fn power(state: &pve::GuestState) -> Power {
    let asleep = state.lock.as_deref().is_some_and(|lock| lock.starts_with("suspend"));
    match (view::power(&state.status), state.qmpstatus.as_deref()) {
        (Power::Off, None | Some("stopped")) => Power::Off,
        (Power::Off, Some(_)) if !asleep => Power::Unknown,
        (power, _) => power,
    }
}

fn interface(of: pve::AgentInterface) -> Interface {
    let net = |address: &pve::AgentAddress| IpNet::new(address.address, address.prefix).ok();
    Interface { name: of.name, addresses: of.addresses.iter().filter_map(net).collect() }
}
