//! JSON that is written as it comes, without a tree in between: what is asked for most and in large lists.
//!
//! Promises the same text as a tree with these keys in this order. Keys are plain words that need no escape.

use serde::Serialize;

use super::{Done, Outcome};

/// A JSON object in the making.
#[derive(Debug)]
pub(crate) struct Object {
    text: Vec<u8>,
    /// Where its first key is.
    start: usize,
}

impl Object {
    pub(crate) fn new() -> Self {
        Self::behind(Vec::with_capacity(1024))
    }

    /// One that follows what is written already.
    fn behind(mut text: Vec<u8>) -> Self {
        text.push(b'{');
        Self { start: text.len(), text }
    }

    fn key(&mut self, key: &str) {
        if self.text.len() > self.start {
            self.text.push(b',');
        }
        self.text.push(b'"');
        self.text.extend_from_slice(key.as_bytes());
        self.text.extend_from_slice(b"\":");
    }

    /// Adds a value.
    pub(crate) fn put(&mut self, key: &str, value: impl Serialize) -> &mut Self {
        self.key(key);
        let before = self.text.len();
        if serde_json::to_writer(&mut self.text, &value).is_err() {
            // Nothing that we write can't be; a reader shall not trip over half a value.
            self.text.truncate(before);
            self.text.extend_from_slice(b"null");
        }
        self
    }

    /// Adds a value, if there is one.
    pub(crate) fn maybe(&mut self, key: &str, value: Option<impl Serialize>) -> &mut Self {
        match value {
            Some(value) => self.put(key, value),
            None => self,
        }
    }

    /// Adds the same number under many keys.
    pub(crate) fn all(&mut self, keys: &[&str], number: u64) -> &mut Self {
        for key in keys {
            self.put(key, number);
        }
        self
    }

    /// Adds JSON that is written already.
    pub(crate) fn raw(&mut self, key: &str, text: &str) -> &mut Self {
        self.key(key);
        self.text.extend_from_slice(text.as_bytes());
        self
    }

    fn end(mut self) -> Vec<u8> {
        self.text.push(b'}');
        self.text
    }

    /// The object's text.
    pub(crate) fn text(self) -> String {
        String::from_utf8(self.end()).unwrap_or_default()
    }
}

/// A list with an object for each of these.
pub(crate) fn list<T>(of: impl Iterator<Item = T>, mut fill: impl FnMut(&mut Object, T)) -> String {
    let mut text = Vec::with_capacity(1024);
    text.push(b'[');
    for item in of {
        if text.len() > 1 {
            text.push(b',');
        }
        let mut object = Object::behind(text);
        fill(&mut object, item);
        text = object.end();
    }
    text.push(b']');
    String::from_utf8(text).unwrap_or_default()
}

/// The outcome that is this text.
#[expect(clippy::unnecessary_wraps, reason = "what handlers return")]
pub(crate) fn written(text: String) -> Outcome {
    Ok(Done::Written(text))
}

#[cfg(test)]
mod test {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn what_is_written_is_what_a_tree_would_be() {
        let mut object = Object::new();
        object.put("name", "a \"b\"\n").put("n", 3).maybe("lock", None::<u8>).maybe("tags", Some("x;y"));
        object.raw("ha", r#"{"managed":0}"#).all(&["in", "out"], 0);
        let tree: Value = serde_json::from_str(&object.text()).unwrap();
        let wanted = json!({"name": "a \"b\"\n", "n": 3, "tags": "x;y", "ha": {"managed": 0}, "in": 0, "out": 0});
        assert_eq!(tree, wanted);
    }

    #[test]
    fn lists_and_objects_may_be_empty() {
        assert_eq!(list(std::iter::empty::<u8>(), |_, _| {}), "[]");
        assert_eq!(list(0..2, |_, _| {}), "[{},{}]");
        let two = list(1..3, |object, n| {
            object.put("n", n).put("m", n);
        });
        assert_eq!(two, r#"[{"n":1,"m":1},{"n":2,"m":2}]"#);
    }
}
