//! What is not compared: answers that show the recorded machine, its stubs or leftovers, or that need a command run
//! inside its node. The status and log of a task that such a call started go with it.

use std::sync::OnceLock;

use regex_lite::Regex;

use super::exchange::Exchange;

/// File (`*` for all), and a pattern for `METHOD path # note => status reason`.
const SKIP: &[(&str, &str)] = &[
    ("*", r"/access/(tfa|openid)\b|/notifications/|/sdn/fabrics"),
    ("backend_down", r"."),
    ("http", r"# (more than 512 KiB body|gzip requested: large)|/api2/png/"),
    ("locks", r"# (config file flock held|same, )"),
    ("lxc", r"/lxc/180/status/(start|stop)|/lxc/182|unprivileged|^GET \S+/lxc =>|type=vm"),
    ("permissions", r"=> 500 disk image .* already exists"),
    ("qemu_status", r"more cores than|too much memory"),
    ("tasks", r"# (status while running or just finished|unencoded UPID in path)"),
    ("version_nodes", r"/(subscription|services|syslog|journal)(\?| )"),
    ("version_nodes", r"/hardware/|/disks/list|/certificates/info|/netstat"),
    ("version_nodes", r"/nodes/(nosuch|bad_name!)/"),
    ("vzdump", r"/cluster/backup(/backup-\S+)? "),
];

fn patterns() -> &'static [(&'static str, Regex)] {
    static PATTERNS: OnceLock<Vec<(&str, Regex)>> = OnceLock::new();
    PATTERNS.get_or_init(|| SKIP.iter().filter_map(|(f, p)| Regex::new(p).ok().map(|p| (*f, p))).collect())
}

/// Whether an exchange of the transcript `name` is left out.
pub(super) fn skipped(name: &str, x: &Exchange, starter: Option<&Exchange>) -> bool {
    let outcomes: Vec<String> = std::iter::once(x).chain(starter).map(Exchange::outcome).collect();
    let here = patterns().iter().filter(|(file, _)| *file == "*" || *file == name);
    here.into_iter().any(|(_, pattern)| outcomes.iter().any(|o| pattern.is_match(o)))
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn every_pattern_compiles() {
        assert_eq!(patterns().len(), SKIP.len());
    }
}
