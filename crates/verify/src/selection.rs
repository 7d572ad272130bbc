//! Which checks are asked for.

use crate::judge::{CHECKS, CheckInfo, Of};
use crate::step::StepId;

/// Which checks are asked for: those that match `only` (all, when it is empty) and do not match `skip`.
///
/// A pattern is a check's id (`api.quorate`), a step's name (`api`), or either with `*` for any text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    only: Vec<String>,
    skip: Vec<String>,
    proxmox_only: bool,
    /// Whole kinds of checks that are left out.
    without: Vec<Of>,
}

/// A pattern that matches no check.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no check is called `{pattern}`; hint: name a step ({steps}), a check such as `api.quorate`, or use `*`")]
pub struct BadSelection {
    /// The pattern.
    pub pattern: String,
    steps: String,
}

impl Selection {
    /// All checks.
    pub fn all() -> Self {
        Self::default()
    }

    /// Reads the patterns; one that matches nothing is refused, since it would be a wish unheard.
    pub fn new(only: Vec<String>, skip: Vec<String>) -> Result<Self, BadSelection> {
        let unheard = only.iter().chain(&skip).find(|pattern| !CHECKS.iter().any(|check| matches(pattern, check.id)));
        if let Some(pattern) = unheard {
            let steps: Vec<_> = crate::STEPS.iter().map(|step| step.id.as_str()).collect();
            return Err(BadSelection { pattern: pattern.clone(), steps: steps.join(", ") });
        }
        Ok(Self { only, skip, ..Self::default() })
    }

    /// Of these only the checks that need no management cluster.
    #[must_use]
    pub fn proxmox_only(self) -> Self {
        Self { proxmox_only: true, ..self }
    }

    fn leave_out(mut self, kind: Of) -> Self {
        self.without.push(kind);
        self
    }

    /// Of these only the checks that need no pods of our own.
    #[must_use]
    pub fn without_probes(self) -> Self {
        self.leave_out(Of::Probe).without_cilium()
    }

    /// Of these only the checks that need no story.
    #[must_use]
    pub fn without_story(self) -> Self {
        self.leave_out(Of::Story)
    }

    /// Of these only the checks that need no store of metrics.
    #[must_use]
    pub fn without_metrics(self) -> Self {
        self.leave_out(Of::Metrics)
    }

    /// Of these only the checks that need no store of logs.
    #[must_use]
    pub fn without_logs(self) -> Self {
        self.leave_out(Of::Logs)
    }

    /// Of these only the checks that are not about Cilium's own policies.
    #[must_use]
    pub fn without_cilium(self) -> Self {
        self.leave_out(Of::Cilium).leave_out(Of::CiliumOutside)
    }

    /// Of these only the checks that need no address outside of the cluster.
    #[must_use]
    pub fn without_outside(self) -> Self {
        self.leave_out(Of::CiliumOutside)
    }

    /// Whether a check of the step that needs pods of our own is asked for.
    pub(crate) fn probes(&self, step: StepId) -> bool {
        let probe = |of| matches!(of, Of::Probe | Of::Cilium | Of::CiliumOutside);
        CHECKS.iter().any(|check| check.step == step && probe(check.of) && self.leaves_out(check).is_none())
    }

    /// Why the check is left out; `None`: it is asked for.
    pub(crate) fn leaves_out(&self, check: &CheckInfo) -> Option<String> {
        let id = check.id;
        let left_out = self.without.contains(&check.of);
        if check.of == Of::Probe && left_out {
            return Some("it makes pods of its own in the cluster, and they were not asked for (`--probe`)".to_owned());
        }
        if matches!(check.of, Of::Cilium | Of::CiliumOutside) && left_out {
            let why = if self.without.contains(&Of::Probe) {
                "it makes pods of its own in the cluster, and they were not asked for (`--probe`)"
            } else if self.without.contains(&Of::Cilium) {
                "it is about Cilium's own policies, and no Cilium runs in the cluster"
            } else {
                "it calls an address outside of the cluster, and none was named (`--probe-outside`)"
            };
            return Some(why.to_owned());
        }
        if check.of == Of::Story && left_out {
            return Some("it kills and destroys: a scene of `oxmox demo`, whose record `--story` takes".to_owned());
        }
        if check.of == Of::Metrics && left_out {
            return Some("it asks a store of metrics, and none was named (`--prometheus-url`)".to_owned());
        }
        if check.of == Of::Logs && left_out {
            return Some("it asks a store of logs, and none was named (`--logs-url`)".to_owned());
        }
        if self.proxmox_only && check.of != Of::Proxmox {
            return Some("it needs a management cluster, and none was given".to_owned());
        }
        if let Some(pattern) = self.skip.iter().find(|pattern| matches(pattern, id)) {
            return Some(format!("skipped by `{pattern}`"));
        }
        let asked = self.only.is_empty() || self.only.iter().any(|pattern| matches(pattern, id));
        (!asked).then(|| format!("only `{}` was asked for", self.only.join(", ")))
    }
}

fn matches(pattern: &str, id: &str) -> bool {
    let step = id.split('.').next().unwrap_or(id);
    glob(pattern, id) || glob(pattern, step)
}

/// `*` stands for any text; everything else for itself.
fn glob(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((head, rest)) => text.strip_prefix(head).is_some_and(|text| {
            text.char_indices().map(|(at, _)| at).chain([text.len()]).any(|at| glob(rest, &text[at..]))
        }),
    }
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn a_pattern_names_a_check_a_step_or_many() {
        assert!(matches("api.quorate", "api.quorate"));
        assert!(matches("api", "api.quorate"));
        assert!(matches("*.n*", "vm-management.nodes-ready"));
        assert!(matches("vm-*", "vm-management.nodes-ready"));
        assert!(!matches("api.quor", "api.quorate"));
        assert!(!matches("pi", "api.quorate"));
    }

    #[test]
    fn a_wish_that_matches_nothing_is_refused() {
        let bad = Selection::new(vec!["api.qourate".into()], Vec::new()).unwrap_err();
        assert!(bad.to_string().starts_with("no check is called `api.qourate`"), "{bad}");
    }

    #[test]
    fn only_probes_that_are_asked_for_are_made() {
        let only = |pattern: &str| Selection::new(vec![pattern.into()], Vec::new()).unwrap();
        let both = |selection: &Selection| (selection.probes(StepId::Policies), selection.probes(StepId::Csi));
        assert_eq!(both(&only("policies")), (true, false));
        assert_eq!(both(&only("csi.probe")), (false, true));
        assert_eq!(both(&only("csi.attachments")), (false, false));
        assert_eq!(both(&Selection::all()), (true, true));
        assert_eq!(both(&Selection::all().without_probes()), (false, false));
    }

    #[test]
    fn skip_wins_over_only() {
        let selection = Selection::new(vec!["api".into()], vec!["api.clock-skew".into()]).unwrap();
        let why = |id| selection.leaves_out(CHECKS.iter().find(|check| check.id == id).unwrap());
        assert_eq!(why("api.quorate"), None);
        assert_eq!(why("api.clock-skew").unwrap(), "skipped by `api.clock-skew`");
        assert_eq!(why("network-storage.bridge").unwrap(), "only `api` was asked for");
    }
}
