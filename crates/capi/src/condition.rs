//! Conditions as Kubernetes wants them: the time of a change is that of the status, not of the message.

use api::ConditionType;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use plan::machine::Truth;

/// Puts a condition among the others, keeping its time if its status is as it was.
pub(crate) fn set(
    all: &mut Vec<Condition>,
    kind: ConditionType,
    truth: Truth,
    reason: &impl ToString,
    message: &str,
    generation: Option<i64>,
    now: Timestamp,
) {
    let kind = kind.to_string();
    let status = match truth {
        Truth::True => "True",
        Truth::False => "False",
        Truth::Unknown => "Unknown",
    };
    let before = all.iter().position(|condition| condition.type_ == kind).map(|at| all.remove(at));
    let last_transition_time = match before {
        // the epoch is the definition's default, not a time
        Some(before) if before.status == status && before.last_transition_time.0 != Timestamp::UNIX_EPOCH => {
            before.last_transition_time
        }
        // whole seconds: that is what Kubernetes keeps
        _ => Time(Timestamp::from_second(now.as_second()).unwrap_or(now)),
    };
    // the API server refuses a longer one
    let message = message.chars().take(4000).collect();
    all.push(Condition {
        type_: kind,
        status: status.into(),
        reason: reason.to_string(),
        message,
        observed_generation: generation,
        last_transition_time,
    });
    all.sort_by(|a, b| a.type_.cmp(&b.type_));
}

#[cfg(test)]
mod test {
    use super::*;
    use api::MachineReason;

    #[test]
    fn the_time_changes_with_the_status_only() {
        let mut all = Vec::new();
        let mut say = |truth, message: &str, second| {
            let now = Timestamp::from_second(second).unwrap();
            set(&mut all, ConditionType::Ready, truth, &MachineReason::Cloning, message, Some(1), now);
            assert_eq!(all.len(), 1);
            all[0].last_transition_time.0.as_second()
        };
        assert_eq!(say(Truth::False, "a", 10), 10);
        assert_eq!(say(Truth::False, "b", 20), 10);
        assert_eq!(say(Truth::True, "c", 30), 30);
    }
}
