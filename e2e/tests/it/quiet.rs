//! What settled machines cost, and what is noticed of them all the same.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use e2e::{Leader, MachineWish, Stage, StageOptions, World};
use kube::ResourceExt as _;
use serde_json::{Value, json};
use testkit::{NotYet, eventually};

const LIMIT: Duration = Duration::from_secs(45);
/// Seconds between two readings at rest; ten as shipped.
const IDLE: f64 = 1.0;

const POLL: &str = "GET /cluster/resources";

async fn set(name: &str) -> Option<Stage> {
    // Looks for failed tasks of others come once a minute, and would be counted now and then.
    let manager_args = vec![format!("--poll-idle={IDLE}"), "--poll-failures=3600".to_owned()];
    let options = StageOptions { manager_args, ..StageOptions::default() };
    let stage = Stage::set(name, options).await.unwrap()?;
    stage.cluster(json!({})).await.unwrap();
    Some(stage)
}

async fn settle(stage: &Stage, names: &[&str]) {
    for name in names {
        stage.machine(&MachineWish::named(*name)).await.unwrap();
    }
    for name in names {
        stage.until_ready(name, LIMIT).await.unwrap();
        stage.joined(name).await.unwrap();
    }
    for name in names {
        stage.until_ejected(name, LIMIT).await.unwrap();
    }
}

/// Waits for so many readings from now on; how long they took, and the other calls meanwhile.
async fn readings(stage: &Stage, count: u64) -> (Duration, Vec<String>) {
    stage.sim.forget_calls().await.unwrap();
    let began = Instant::now();
    let counted = eventually(LIMIT, || async {
        let calls = stage.sim.calls().await?;
        let polls = calls.get(POLL).copied().unwrap_or(0);
        if polls < count {
            return Err(NotYet::because(format!("{polls} of {count} readings")));
        }
        let rest = calls.into_iter().filter(|(call, _)| call != POLL);
        Ok(rest.map(|(call, times)| format!("{times} {call}")).collect())
    });
    let others = counted.await.unwrap();
    (began.elapsed(), others)
}

async fn until_status(stage: &Stage, name: &str, status: &str, reason: &str) -> Duration {
    let began = Instant::now();
    let told = eventually(LIMIT, || async {
        let machine = stage.machines().get(name).await.map_err(|why| NotYet::because(why.to_string()))?;
        let conditions = machine.status.unwrap_or_default().conditions;
        let ready = conditions.into_iter().find(|condition| condition.type_ == "Ready");
        match ready {
            Some(ready) if ready.status == status && (reason.is_empty() || ready.reason == reason) => Ok(()),
            other => Err(NotYet::because(format!("{other:?}"))),
        }
    });
    told.await.unwrap();
    began.elapsed()
}

#[tokio::test(flavor = "multi_thread")]
async fn settled_machines_cost_nothing_whatever_their_number() {
    let Some(mut stage) = set("settled_machines_cost_nothing_whatever_their_number").await else { return };
    settle(&stage, &["q-0"]).await;
    let quiet_at = |what: &'static str, (took, others): (Duration, Vec<String>)| {
        assert_eq!(others, Vec::<String>::new(), "{what}: calls beside the shared reading");
        // five readings have four pauses between them
        assert!(took.as_secs_f64() > 3.0 * IDLE, "{what}: five readings in {took:?}");
    };
    // what the last step was followed by
    let _settling = readings(&stage, 3).await;
    quiet_at("one machine", readings(&stage, 5).await);
    settle(&stage, &["q-1", "q-2", "q-3", "q-4"]).await;
    let _settling = readings(&stage, 3).await;
    quiet_at("five machines", readings(&stage, 5).await);
    // a new process
    stage.kill_manager().await.unwrap();
    stage.sim.forget_calls().await.unwrap();
    stage.start_manager().unwrap();
    let (_, others) = readings(&stage, 6).await;
    let calls: u64 = others.iter().filter_map(|line| line.split(' ').next()?.parse::<u64>().ok()).sum();
    assert!(calls <= 5 + 3, "a restart with five machines on three nodes costs {others:?}");
    for name in ["q-0", "q-1", "q-2", "q-3", "q-4"] {
        assert!(stage.ready(name).await.unwrap().0, "{name} is not ready after the restart");
    }
    stage.strike().await.unwrap();
}

async fn vmid(stage: &Stage, name: &str) -> i64 {
    stage.machines().get(name).await.unwrap().spec.virtual_machine_id.unwrap()
}

async fn running(stage: &Stage, name: &str) -> bool {
    let world = stage.sim.world().await.unwrap();
    world.vms().any(|vm| World::config(vm, "name") == name && !vm["run"].is_null())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happens_behind_our_back_is_noticed() {
    let Some(stage) = set("what_happens_behind_our_back_is_noticed").await else { return };
    settle(&stage, &["stopped", "destroyed", "paused"]).await;
    // stopped: started again, once, and never called not ready
    let before: BTreeSet<String> = stage.sim.world().await.unwrap().tasks();
    stage.sim.post(&format!("/sim/vms/{}/power-off", vmid(&stage, "stopped").await), &Value::Null).await.unwrap();
    let again = eventually(LIMIT, || async {
        if running(&stage, "stopped").await { Ok(()) } else { Err(NotYet::because("it is off")) }
    });
    again.await.unwrap();
    until_status(&stage, "stopped", "True", "").await;
    assert_eq!(stage.sim.world().await.unwrap().succeeded("qmstart", &before), 1);
    // Proxmox VE cannot be read: nobody knows, and nobody is replaced for it
    let rule = json!({"match": {"path": "/cluster/resources"}, "times": 0, "then": {"status": 596}});
    let rule = stage.sim.rule(&rule).await.unwrap();
    until_status(&stage, "stopped", "Unknown", "ProxmoxUnreachable").await;
    stage.sim.lift(rule).await.unwrap();
    until_status(&stage, "stopped", "True", "").await;
    // destroyed: not ready, soon
    stage.sim.post(&format!("/sim/vms/{}/destroy", vmid(&stage, "destroyed").await), &Value::Null).await.unwrap();
    let took = until_status(&stage, "destroyed", "False", "VirtualMachineNotFound").await;
    // the aim is half a minute with a reading every ten seconds
    assert!(took.as_secs_f64() < 20.0 * IDLE, "noticed after {took:?}");
    assert_eq!(stage.vms().await.unwrap().len(), 2, "what was destroyed is not made again");
    // paused: left alone
    let pause = json!({"metadata": {"annotations": {"cluster.x-k8s.io/paused": ""}}});
    stage.change_machine("paused", &pause).await.unwrap();
    let told = eventually(LIMIT, || async {
        let machine = stage.machines().get("paused").await.map_err(|why| NotYet::because(why.to_string()))?;
        let conditions = machine.status.unwrap_or_default().conditions;
        let paused = conditions.iter().any(|one| one.type_ == "Paused" && one.status == "True");
        if paused { Ok(()) } else { Err(NotYet::because("the condition Paused is not True")) }
    });
    told.await.unwrap();
    stage.sim.post(&format!("/sim/vms/{}/power-off", vmid(&stage, "paused").await), &Value::Null).await.unwrap();
    let (_, others) = readings(&stage, 4).await;
    assert_eq!(others, Vec::<String>::new(), "a paused machine is left alone");
    assert!(!running(&stage, "paused").await);
    let resume = json!({"metadata": {"annotations": {"cluster.x-k8s.io/paused": null}}});
    stage.change_machine("paused", &resume).await.unwrap();
    let again = eventually(LIMIT, || async {
        if running(&stage, "paused").await { Ok(()) } else { Err(NotYet::because("it is off")) }
    });
    again.await.unwrap();
    stage.strike().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_status_that_was_lost_is_rebuilt_without_a_second_clone() {
    let Some(mut stage) = set("a_status_that_was_lost_is_rebuilt_without_a_second_clone").await else { return };
    settle(&stage, &["s-0", "s-1"]).await;
    let before = stage.machines().get("s-0").await.unwrap();
    let tasks = stage.sim.world().await.unwrap().tasks();
    stage.kill_manager().await.unwrap();
    // as a restore from a backup without status, and a tool that resets the spec, would leave it
    let nothing = json!({"spec": {"virtualMachineID": null, "providerID": null}});
    stage.change_machine("s-0", &nothing).await.unwrap();
    let mut bare = stage.machines().get("s-0").await.unwrap();
    bare.status = None;
    let replaced = stage.machines().replace_status("s-0", &kube::api::PostParams::default(), &bare).await.unwrap();
    assert!(replaced.status.is_none_or(|status| status.reserved_vmid.is_none()));
    stage.start_manager().unwrap();
    stage.until_ready("s-0", LIMIT).await.unwrap();
    stage.until_ejected("s-0", LIMIT).await.unwrap();
    let after = stage.machines().get("s-0").await.unwrap();
    assert_eq!(after.spec.virtual_machine_id, before.spec.virtual_machine_id);
    assert_eq!(after.spec.provider_id, before.spec.provider_id);
    let (old, new) = (before.status.clone().unwrap(), after.status.clone().unwrap());
    assert_eq!(new.addresses, old.addresses, "its address is read from the VM");
    assert_eq!(new.ip_addresses, old.ip_addresses);
    let world = stage.sim.world().await.unwrap();
    assert_eq!((world.succeeded("qmclone", &tasks), world.succeeded("qmstart", &tasks)), (0, 0));
    assert_eq!(stage.vms().await.unwrap().len(), 2, "{}", after.name_any());
    stage.strike().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_range_the_guest_agent_tells_the_address() {
    let Some(stage) =
        Stage::set("without_a_range_the_guest_agent_tells_the_address", StageOptions::default()).await.unwrap()
    else {
        return;
    };
    stage.cluster(json!({"ipv4Config": null})).await.unwrap();
    stage.machine(&MachineWish::named("no-lease")).await.unwrap();
    // a guest of paper tells the address that a tag gives it
    stage.machine(&MachineWish::named("leased").with("tags", json!(["ip_net0_10.9.8.7"]))).await.unwrap();
    stage.until_ready("leased", LIMIT).await.unwrap();
    let status = stage.machines().get("leased").await.unwrap().status.unwrap();
    let internal: Vec<_> = status.addresses.iter().filter(|one| one.kind == "InternalIP").collect();
    assert_eq!(internal.len(), 1, "loopback is no address: {:?}", status.addresses);
    assert_eq!(internal[0].address, "10.9.8.7");
    until_status(&stage, "no-lease", "Unknown", "WaitingForClusterAPIMachineAddresses").await;
    stage.strike().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_managers_one_works_and_the_other_takes_over() {
    let options = StageOptions { leader: Leader::Elected, ..StageOptions::default() };
    let Some(mut stage) = Stage::set("of_two_managers_one_works_and_the_other_takes_over", options).await.unwrap()
    else {
        return;
    };
    stage.cluster(json!({})).await.unwrap();
    stage.machine(&MachineWish::named("one")).await.unwrap();
    stage.until_ready("one", LIMIT).await.unwrap();
    let second = stage.another_manager().unwrap();
    let waits = eventually(LIMIT, || async {
        if second.tail().contains("waiting to lead") { Ok(()) } else { Err(NotYet::because(second.tail())) }
    });
    waits.await.unwrap();
    let tasks = stage.sim.world().await.unwrap().tasks();
    stage.machine(&MachineWish::named("two")).await.unwrap();
    stage.until_ready("two", LIMIT).await.unwrap();
    assert!(!second.tail().contains("working"), "both work: {}", second.tail());
    stage.kill_manager().await.unwrap();
    stage.machine(&MachineWish::named("three")).await.unwrap();
    stage.until_ready("three", LIMIT).await.unwrap();
    let world = stage.sim.world().await.unwrap();
    assert_eq!((world.succeeded("qmclone", &tasks), world.succeeded("qmstart", &tasks)), (2, 2));
    second.kill().await.unwrap();
    stage.strike().await.unwrap();
}
