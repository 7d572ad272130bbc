//! `POST /nodes/{node}/vzdump`: a backup now.

use serde_json::json;

use super::selection;
use crate::calls::{Call, Outcome, now};
use crate::http::fail::Fail;
use crate::jobs::Job;
use crate::jobs::backup::Backup;
use crate::jobs::backup::vzdump::{Stage, Vzdump};
use crate::state::World;
use crate::state::guest::Config;

/// A word as a shell would need it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_!%+,-./:@^".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

/// The job as a command, as its log names it.
pub(crate) fn command(options: &Config) -> String {
    let mut out = vec!["vzdump".to_owned()];
    out.extend(selection::words(options, "vmid").map(str::to_owned));
    for (name, value) in options.iter().filter(|(k, _)| *k != "vmid") {
        out.push(format!("--{name}"));
        out.push(quoted(value));
    }
    out.join(" ")
}

pub(crate) fn run(world: &mut World, call: &Call<'_>) -> Outcome {
    let node = call.node();
    if call.get("stdout").is_some() {
        return Err(Fail::param("stdout", "option is only allowed on the command line interface.").into());
    }
    let mut options: Config = call.params.clone();
    selection::verify(&mut options)?;
    rights(world, call, &mut options)?;
    if let Some(pool) = call.get("pool").filter(|p| !p.is_empty()) {
        if !world.pools.contains_key(pool) {
            return Err(Fail::forbidden(&format!("pool '{pool}' does not exist")).into());
        }
        world.need(call.who, &format!("/pool/{pool}"), &["VM.Backup"])?;
    }
    let all = selection::guests(world, &options)?;
    let elsewhere = |v: &u32| world.guests.get(v).is_some_and(|g| g.node != node);
    let (skipped, guests): (Vec<u32>, Vec<u32>) = all.into_iter().partition(elsewhere);
    if call.flag("stop") {
        stop_running(world, node);
        if guests.is_empty() {
            return now(json!("OK"));
        }
    }
    // Silent if others have all of them.
    if guests.is_empty() && options.get("all").is_none_or(|a| a != "1") {
        return now(json!("OK"));
    }
    let id = match guests.as_slice() {
        [one] => one.to_string(),
        _ => String::new(),
    };
    let command = command(&options);
    let work = Vzdump {
        node: node.to_owned(),
        options,
        command,
        guests,
        skipped,
        stage: Stage::Queued { waiting: false },
        errors: 0,
    };
    let job = Job::Backup(Box::new(Backup::Vzdump(work)));
    now(json!(world.spawn(node, "vzdump", &id, call.who, job, 0.001)))
}

fn rights(world: &World, call: &Call<'_>, options: &mut Config) -> Result<(), Fail> {
    selection::rights(world, call.who, options)?;
    if call.who.is_root() {
        return Ok(());
    }
    let storage = format!("/storage/{}", call.get("storage").unwrap_or("local"));
    world.need(call.who, &storage, &["Datastore.AllocateSpace"])?;
    if options.contains_key("prune-backups") {
        world.need(call.who, &storage, &["Datastore.Allocate"])?;
    } else if !world.may(call.who, &storage, "Datastore.Allocate") {
        // Who may not remove others' backups doesn't prune.
        options.insert("remove".to_owned(), "0".to_owned());
    }
    Ok(())
}

/// Ends the backups of a node that are under way.
fn stop_running(world: &mut World, node: &str) {
    let mine: Vec<String> = world
        .active
        .iter()
        .filter(|u| world.tasks.get(*u).is_some_and(|t| t.kind == "vzdump" && t.node == node))
        .cloned()
        .collect();
    for upid in mine {
        world.end(&upid, None);
        let locked: Vec<u32> = world
            .guests
            .values()
            .filter(|g| g.node == node && g.get("lock") == Some("backup"))
            .map(|g| g.vmid)
            .collect();
        for vmid in locked {
            if let Some(guest) = world.guests.get_mut(&vmid) {
                guest.config.remove("lock");
                if guest.run.as_ref().is_some_and(|r| r.id.ends_with("-backup")) {
                    guest.run = None;
                }
            }
        }
    }
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn a_command_quotes_what_a_shell_would_take_apart() {
        let options: Config = [("vmid", "300,301"), ("notes-template", "{{vmid}}"), ("mode", "stop")]
            .into_iter()
            .map(|(k, v)| (k.to_owned(), v.to_owned()))
            .collect();
        assert_eq!(command(&options), "vzdump 300 301 --mode stop --notes-template '{{vmid}}'");
    }
}
