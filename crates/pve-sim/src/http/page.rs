//! The formats for people: a page for `html`, a picture for `png`, a file for `spiceconfig`.

use std::fmt::Write as _;

use serde_json::Value;

/// A picture of one white dot.
pub(crate) const DOT: &[u8] = &[
    0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a, 0x00, 0x00, 0x00, 0x0d, 0x49, 0x48, 0x44, 0x52, 0x00, 0x00, 0x00,
    0x01, 0x00, 0x00, 0x00, 0x01, 0x08, 0x00, 0x00, 0x00, 0x00, 0x3a, 0x7e, 0x9b, 0x55, 0x00, 0x00, 0x00, 0x0a, 0x49,
    0x44, 0x41, 0x54, 0x78, 0xda, 0x63, 0xf8, 0x0f, 0x00, 0x01, 0x01, 0x01, 0x00, 0x1c, 0xb0, 0x8c, 0x99, 0x00, 0x00,
    0x00, 0x00, 0x49, 0x45, 0x4e, 0x44, 0xae, 0x42, 0x60, 0x82,
];

/// Text as it may stand in a page.
pub(crate) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;").replace('>', "&gt;")
}

/// A page that shows the data, or what went wrong.
pub(crate) fn page(data: &Value, trouble: Option<&str>) -> String {
    let mut out =
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head><title>Proxmox VE API</title></head>\n<body>\n".to_owned();
    if let Some(text) = trouble {
        let _ = writeln!(out, "<h1>ERROR</h1>\n<p>{}</p>", escaped(text.trim_end()));
    }
    let _ = writeln!(out, "<pre>{}</pre>\n</body>\n</html>", escaped(&format!("{data:#}")));
    out
}

/// What a viewer is started with.
pub(crate) fn viewer(data: &Value) -> String {
    let mut out = "[virt-viewer]\n".to_owned();
    for (key, value) in data.as_object().into_iter().flatten() {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned).replace('\n', "\\n");
        let _ = writeln!(out, "{key}={text}");
    }
    out
}

#[cfg(test)]
mod test {
    use serde_json::json;

    use super::*;

    #[test]
    fn pages_show_data_without_being_it() {
        let page = page(&json!({"name": "<b>"}), None);
        assert!(page.contains("&lt;b&gt;") && !page.contains("<b>"), "{page}");
    }

    #[test]
    fn a_viewer_reads_one_key_a_line() {
        assert_eq!(viewer(&json!({"ca": "a\nb", "port": 1})), "[virt-viewer]\nca=a\\nb\nport=1\n");
    }
}
