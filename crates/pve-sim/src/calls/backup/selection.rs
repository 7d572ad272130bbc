//! What the parameters of a backup say: which guests, which rules, who may say it.

use crate::http::fail::Fail;
use crate::perm::Who;
use crate::state::World;
use crate::state::guest::Config;

/// The words of a list parameter.
pub(crate) fn words<'a>(options: &'a Config, name: &str) -> impl Iterator<Item = &'a str> {
    let text = options.get(name).map_or("", String::as_str);
    text.split([',', ';', ' ']).filter(|w| !w.is_empty())
}

fn set(options: &Config, name: &str) -> bool {
    options.get(name).is_some_and(|v| !v.is_empty() && v != "0")
}

/// Refuses parameters that contradict each other.
pub(crate) fn verify(options: &mut Config) -> Result<(), Fail> {
    let conflict = |name: &str| Fail::param(name, "option conflicts with option 'vmid'");
    if options.contains_key("vmid") {
        for name in ["all", "exclude", "pool"] {
            if set(options, name) {
                return Err(conflict(name));
            }
        }
    }
    if let Some(text) = options.get("prune-backups") {
        check_keep(text)?;
        if options.contains_key("maxfiles") {
            return Err(Fail::param("prune-backups", "option conflicts with option 'maxfiles'"));
        }
    }
    if let Some(template) = options.get("notes-template") {
        check_notes(template).map_err(|text| Fail::param("notes-template", text))?;
    }
    if options.contains_key("exclude") && !options.contains_key("pool") {
        options.insert("all".to_owned(), "1".to_owned());
    }
    if !options.contains_key("vmid") && !["all", "stop", "pool"].iter().any(|n| set(options, n)) {
        return Err(Fail::param("vmid", "property is missing"));
    }
    Ok(())
}

/// Refuses rules that keep all and something else.
pub(crate) fn check_keep(text: &str) -> Result<(), Fail> {
    let rules: Vec<(&str, &str)> = text.split(',').filter_map(|p| p.trim().split_once('=')).collect();
    let all = rules.iter().any(|(k, v)| *k == "keep-all" && ["1", "on", "yes", "true"].contains(v));
    if all && rules.len() > 1 {
        return Err(Fail::param("prune-backups", "keep-all cannot be set together with other options.\n"));
    }
    Ok(())
}

/// Notes may have variables and escapes, but only those that are known.
fn check_notes(template: &str) -> Result<(), String> {
    if template.contains('\n') {
        return Err("contains a line feed\n".to_owned());
    }
    let mut wrong = Vec::new();
    let mut rest = template.char_indices();
    while let Some((at, c)) = rest.next() {
        if c == '\\'
            && let Some((_, next)) = rest.next()
            && !['n', '\\'].contains(&next)
        {
            wrong.push(format!("escape sequence '\\{next}' at char {at}"));
        }
    }
    for (at, _) in template.match_indices("{{") {
        let Some(length) = template[at + 2..].find("}}") else { continue };
        let name = &template[at + 2..at + 2 + length];
        let word = !name.is_empty() && !name.contains(|c: char| c.is_whitespace() || c == '{' || c == '}');
        if word && !["cluster", "guestname", "node", "vmid"].contains(&name) {
            wrong.push(format!("variable '{name}' at char {at}"));
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(format!("found unknown: {}\n", wrong.join(", "))) }
}

/// Who may use the parameters that reach beyond the guests.
pub(crate) fn rights(world: &World, who: &Who, options: &Config) -> Result<(), Fail> {
    if who.is_root() {
        return Ok(());
    }
    for name in ["tmpdir", "dumpdir", "script", "job-id"] {
        if options.contains_key(name) {
            return Err(Fail::param(name, "Only root may set this option."));
        }
    }
    if ["bwlimit", "ionice", "performance"].iter().any(|n| options.contains_key(*n)) {
        world.need(who, "/", &["Sys.Modify"])?;
    }
    if let Some(storage) = options.get("fleecing").and_then(|f| crate::state::drive::option_of(f, "storage")) {
        world.need(who, &format!("/storage/{storage}"), &["Datastore.AllocateSpace"])?;
    }
    Ok(())
}

/// The guests of a selection, as far as they exist, in order; those that are named but don't exist too.
pub(crate) fn guests(world: &World, options: &Config) -> Result<Vec<u32>, Fail> {
    let excluded: Vec<u32> = words(options, "exclude").filter_map(|v| v.parse().ok()).collect();
    let mut all: Vec<u32> = if let Some(pool) = options.get("pool").filter(|p| !p.is_empty()) {
        let found = world.pools.get(pool);
        let found = found.ok_or_else(|| Fail::die(format!("pool '{pool}' does not exist")))?;
        found.vms.iter().copied().collect()
    } else if options.contains_key("vmid") {
        words(options, "vmid").filter_map(|v| v.parse().ok()).collect()
    } else if set(options, "all") {
        world.guests.keys().copied().collect()
    } else {
        Vec::new()
    };
    all.retain(|v| !excluded.contains(v));
    all.sort_unstable();
    all.dedup();
    Ok(all)
}

#[cfg(test)]
mod test {
    use super::*;

    fn options(pairs: &[(&str, &str)]) -> Config {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn a_list_of_guests_excludes_every_other_selection() {
        for other in ["all", "exclude", "pool"] {
            let fail = verify(&mut options(&[("vmid", "300"), (other, "301")])).unwrap_err();
            assert_eq!(fail.errors.get(other).unwrap(), "option conflicts with option 'vmid'");
        }
        let fail = verify(&mut options(&[("storage", "nas")])).unwrap_err();
        assert_eq!(fail.errors.get("vmid").unwrap(), "property is missing");
        let mut all_but = options(&[("exclude", "301")]);
        verify(&mut all_but).unwrap();
        assert_eq!(all_but.get("all").unwrap(), "1");
    }

    #[test]
    fn notes_have_known_variables_and_escapes_only() {
        assert!(check_notes("{{guestname}} on {{node}}\\n{{vmid}}").is_ok());
        assert_eq!(check_notes("a {{nobody}}").unwrap_err(), "found unknown: variable 'nobody' at char 2\n");
        assert_eq!(check_notes("a\\tb").unwrap_err(), "found unknown: escape sequence '\\t' at char 1\n");
        assert_eq!(check_notes("a\nb").unwrap_err(), "contains a line feed\n");
    }

    #[test]
    fn keeping_all_goes_with_nothing_else() {
        assert!(check_keep("keep-last=3,keep-weekly=1").is_ok());
        assert!(check_keep("keep-all=1").is_ok());
        assert!(check_keep("keep-all=1,keep-last=3").is_err());
    }
}
