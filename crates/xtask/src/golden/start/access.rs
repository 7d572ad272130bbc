//! Users, tokens, roles, groups that were there, and whose credentials were refused for a while.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::seen::Seen;
use super::{Call, Plan, rights};

/// A time that is long past.
const PAST: &str = "1000000000";

/// What the transcript shows of accounts.
#[derive(Debug, Default)]
struct Accounts {
    users: BTreeMap<String, Value>,
    /// By user and id.
    tokens: BTreeMap<(String, String), Value>,
    roles: BTreeMap<String, String>,
    groups: BTreeMap<String, Value>,
    made: BTreeSet<String>,
}

/// The token's user and id.
pub(super) fn token(who: &str) -> Option<(String, String)> {
    who.split_once('!').map(|(user, id)| (user.to_owned(), id.to_owned()))
}

/// Whether the request was let in, whatever it was told then.
pub(super) fn let_in(one: &Seen) -> bool {
    one.status != 401 && one.status != 0 && !matches!(one.status, 595 | 596)
}

fn rows(data: &Value) -> impl Iterator<Item = &Value> {
    data.as_array().into_iter().flatten()
}

impl Accounts {
    fn has(&self, what: &str) -> bool {
        self.made.contains(what)
    }

    fn user(&mut self, id: &str, row: &Value) {
        if !self.has(&format!("user {id}")) {
            self.users.entry(id.to_owned()).or_insert_with(|| row.clone());
        }
    }

    fn token(&mut self, user: &str, id: &str, row: &Value) {
        if !self.has(&format!("token {user}!{id}")) && !self.has(&format!("user {user}")) {
            let known = self.tokens.entry((user.to_owned(), id.to_owned())).or_default();
            if known.is_null() {
                *known = row.clone();
            }
        }
    }

    fn learn(&mut self, one: &Seen) {
        if let Some((user, id)) = token(&one.who).filter(|_| let_in(one)) {
            self.user(&user, &Value::Null);
            self.token(&user, &id, &Value::Null);
        }
        if let Some((user, id)) = token(&one.who).filter(|_| one.status == 401 && one.note.contains("expired token")) {
            self.token(&user, &id, &serde_json::json!({"expire": 1}));
        }
        if !one.ok() || one.part(0) != "access" {
            return;
        }
        let path: Vec<&str> = one.path.iter().map(String::as_str).collect();
        let named = |key: &str| one.form.get(key).cloned().unwrap_or_default();
        match (one.method.as_str(), path.as_slice()) {
            ("POST", ["access", "users"]) => drop(self.made.insert(format!("user {}", named("userid")))),
            ("POST", ["access", "users", user, "token", id]) => drop(self.made.insert(format!("token {user}!{id}"))),
            ("POST", ["access", "roles"]) => drop(self.made.insert(format!("role {}", named("roleid")))),
            ("POST", ["access", "groups"]) => drop(self.made.insert(format!("group {}", named("groupid")))),
            ("GET", ["access", "users"]) => {
                for row in rows(&one.data) {
                    let user = row["userid"].as_str().unwrap_or_default();
                    self.user(user, row);
                    for token in rows(&row["tokens"]) {
                        self.token(user, token["tokenid"].as_str().unwrap_or_default(), token);
                    }
                }
            }
            ("GET", ["access", "users", user]) => self.user(user, &one.data),
            ("GET", ["access", "users", user, "token"]) => {
                for row in rows(&one.data) {
                    self.token(user, row["tokenid"].as_str().unwrap_or_default(), row);
                }
            }
            ("GET", ["access", "users", user, "token", id]) => self.token(user, id, &one.data),
            ("GET", ["access", "roles"]) => {
                for row in rows(&one.data).filter(|r| r["special"] != 1) {
                    let role = row["roleid"].as_str().unwrap_or_default();
                    if !self.has(&format!("role {role}")) {
                        let privs = row["privs"].as_str().unwrap_or_default();
                        self.roles.entry(role.to_owned()).or_insert_with(|| privs.to_owned());
                    }
                }
            }
            ("GET", ["access", "groups"]) => {
                for row in rows(&one.data) {
                    let group = row["groupid"].as_str().unwrap_or_default();
                    if !self.has(&format!("group {group}")) {
                        self.groups.entry(group.to_owned()).or_insert_with(|| row.clone());
                    }
                }
            }
            _ => {}
        }
    }

    /// Whom entries of the access control list speak of, and of which roles.
    fn of_entries(&mut self, entries: &[Value]) {
        for entry in entries {
            let id = entry["ugid"].as_str().unwrap_or_default();
            match (entry["type"].as_str(), token(id)) {
                (Some("token"), Some((user, token))) => {
                    self.user(&user, &Value::Null);
                    self.token(&user, &token, &Value::Null);
                }
                (Some("group"), _) => drop(self.groups.entry(id.to_owned()).or_default()),
                _ => self.user(id, &Value::Null),
            }
        }
    }

    fn calls(&self, plan: &mut Plan) {
        let text = |row: &Value, key: &str| row[key].as_str().unwrap_or_default().to_owned();
        for (group, row) in &self.groups {
            let comment = text(row, "comment");
            plan.setup.push(Call::new("POST", "/access/groups", &[("groupid", group), ("comment", &comment)]));
        }
        for (role, privs) in &self.roles {
            plan.setup.push(Call::new("POST", "/access/roles", &[("roleid", role), ("privs", privs)]));
        }
        for (user, row) in &self.users {
            let groups = match &row["groups"] {
                Value::Array(list) => list.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(","),
                other => other.as_str().unwrap_or_default().to_owned(),
            };
            let all = [("groups", groups)]
                .into_iter()
                .chain(["comment", "email", "firstname", "lastname"].into_iter().map(|key| (key, text(row, key))));
            let all: Vec<(&str, String)> = all.filter(|(_, v)| !v.is_empty()).collect();
            let mut form: Vec<(&str, &str)> = all.iter().map(|(k, v)| (*k, v.as_str())).collect();
            if plan.passwords.contains_key(user) {
                if !form.is_empty() {
                    plan.setup.push(Call::new("PUT", &format!("/access/users/{user}"), &form));
                }
                continue;
            }
            form.push(("userid", user));
            if row["enable"] == 0 {
                form.push(("enable", "0"));
            }
            plan.setup.push(Call::new("POST", "/access/users", &form));
        }
        for ((user, id), row) in &self.tokens {
            if !self.users.contains_key(user) && !plan.passwords.contains_key(user) {
                plan.setup.push(Call::new("POST", "/access/users", &[("userid", user)]));
            }
            let privsep = row["privsep"].as_i64().unwrap_or(1).to_string();
            let comment = text(row, "comment");
            let mut form = vec![("privsep", privsep.as_str())];
            if !comment.is_empty() {
                form.push(("comment", &comment));
            }
            if row["expire"].as_i64().is_some_and(|e| e > 0) {
                form.push(("expire", PAST));
            }
            plan.setup.push(Call::new("POST", &format!("/access/users/{user}/token/{id}"), &form));
        }
    }
}

/// Whether somebody's credentials are refused for a reason that the transcript shows.
#[derive(Debug, Default)]
struct Off {
    users: BTreeSet<String>,
    tokens: BTreeSet<String>,
}

impl Off {
    fn learn(&mut self, one: &Seen) {
        let path: Vec<&str> = one.path.iter().map(String::as_str).collect();
        if !one.ok() || path.first() != Some(&"access") {
            return;
        }
        let off = one.form.get("enable").is_some_and(|e| e == "0")
            || one.form.get("expire").is_some_and(|e| e != "0" && !e.is_empty());
        match (one.method.as_str(), path.as_slice()) {
            ("PUT" | "POST", ["access", "users", user]) => set(&mut self.users, user, off),
            ("PUT" | "POST", ["access", "users", user, "token", id]) => {
                let regenerated = one.form.contains_key("regenerate");
                set(&mut self.tokens, &format!("{user}!{id}"), off || regenerated);
            }
            ("DELETE", ["access", "users", user]) => set(&mut self.users, user, true),
            ("DELETE", ["access", "users", user, "token", id]) => set(&mut self.tokens, &format!("{user}!{id}"), true),
            _ => {}
        }
    }

    fn explains(&self, user: &str, who: &str) -> bool {
        self.users.contains(user) || self.tokens.contains(who)
    }
}

fn set(of: &mut BTreeSet<String>, what: &str, on: bool) {
    if on {
        of.insert(what.to_owned());
    } else {
        of.remove(what);
    }
}

/// Users that were switched off behind the transcript's back: refused though all was well before or later.
fn switched_off(plan: &mut Plan, seen: &[Seen]) {
    let known: BTreeSet<&str> = seen.iter().filter(|s| let_in(s)).map(|s| s.who.as_str()).collect();
    let mut off = Off::default();
    for (at, one) in seen.iter().enumerate() {
        off.learn(one);
        if one.status != 401 {
            continue;
        }
        let note = one.note.to_lowercase();
        let login = one.part(0) == "access" && one.part(1) == "ticket" && one.is("POST");
        let user = if login {
            one.form
                .get("username")
                .filter(|_| one.form.get("password").is_some_and(|p| p.ends_with(" password>")))
                .cloned()
        } else {
            let spoiled =
                ["wrong", "invalid", "bad ", "secret", "csrf", "tampered", "forged"].iter().any(|w| note.contains(w));
            let named = known.contains(one.who.as_str()) && one.who.contains('!') && !spoiled;
            named.then(|| one.who.split('!').next().unwrap_or_default().to_owned())
        };
        let Some(user) = user
            .filter(|u| u.contains('@'))
            .filter(|u| plan.passwords.contains_key(u) || known.iter().any(|k| k.starts_with(u.as_str())))
        else {
            continue;
        };
        if off.explains(&user, &one.who) {
            continue;
        }
        let path = format!("/access/users/{user}");
        let how: &[(&str, &str)] = if note.contains("expired") { &[("expire", PAST)] } else { &[("enable", "0")] };
        plan.before.entry(at).or_default().push(Call::new("PUT", &path, how));
        plan.before.entry(at + 1).or_default().push(Call::new("PUT", &path, &[("enable", "1"), ("expire", "0")]));
    }
}

/// When an expiry of the recording is to come here: by what it did to those whom it concerns.
fn expiries(plan: &mut Plan, seen: &[Seen]) {
    for (at, one) in seen.iter().enumerate() {
        let Some(time) = one.form.get("expire").and_then(|e| e.parse::<i64>().ok()).filter(|e| *e > 1_500_000_000)
        else {
            continue;
        };
        let whom = match one.path.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
            ["access", "users", user, "token", id] => format!("{user}!{id}"),
            ["access", "users", user] => (*user).to_owned(),
            ["access", "users"] => one.form.get("userid").cloned().unwrap_or_default(),
            _ => continue,
        };
        let again = |s: &&Seen| s.path == one.path && !s.is("GET") && s.ok();
        let later = seen.iter().skip(at + 1).take_while(|s| !again(s));
        let theirs = |s: &&Seen| s.who == whom || s.who.starts_with(&format!("{whom}!"));
        let fates: Vec<bool> = later.filter(theirs).map(let_in).collect();
        let from_now = match (fates.first(), fates.contains(&false)) {
            (Some(true), true) => 1,
            (Some(false), _) => -60,
            _ if time < 2_000_000_000 && one.note.contains("past") => -60,
            _ => 86_400,
        };
        plan.expiries.insert(at, from_now);
    }
}

/// Adds accounts, rights and what changed of them.
pub(super) fn add(plan: &mut Plan, seen: &[Seen]) {
    let mut accounts = Accounts::default();
    for one in seen {
        accounts.learn(one);
    }
    accounts.of_entries(&rights::listed(seen).unwrap_or_default());
    accounts.calls(plan);
    rights::add(plan, seen, &accounts.roles);
    switched_off(plan, seen);
    expiries(plan, seen);
}
