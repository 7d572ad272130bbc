//! stub
pub(crate) struct File<'a> { pub(crate) short: &'static str, pub(crate) name: &'static str, pub(crate) bytes: &'a [u8] }
pub(crate) fn image<const N: usize>(_label: &str, files: [File<'_>; N]) -> Vec<u8> {
    files.iter().flat_map(|f| f.bytes.iter().copied().chain(f.name.bytes()).chain(f.short.bytes())).collect()
}
