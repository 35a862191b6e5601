//! Path modifiers (Gateway API HTTPPathModifier).

use crate::snapshot::PathRewrite;

/// Appends the rewritten `path` (without query) to `out`. `prefix` is `Found::matched_prefix`:
/// what follows it is empty or begins with a slash. The result is never empty.
pub fn rewrite(rewrite: &PathRewrite, path: &[u8], prefix: usize, out: &mut Vec<u8>) {
    let start = out.len();
    match rewrite {
        PathRewrite::Full(full) => out.extend_from_slice(full.as_bytes()),
        PathRewrite::Prefix(new) => {
            let rest = path.get(prefix..).unwrap_or_default();
            let new = if rest.is_empty() { new } else { new.strip_suffix('/').unwrap_or(new) };
            out.extend_from_slice(new.as_bytes());
            out.extend_from_slice(rest);
        }
    }
    if out.get(start) != Some(&b'/') {
        out.insert(start, b'/');
    }
}

#[cfg(test)]
mod tests {
    use super::rewrite;
    use crate::snapshot::PathRewrite;

    /// The table in the documentation of Gateway API's ReplacePrefixMatch.
    #[test]
    fn prefix_rows() {
        let rows = [
            ("/foo/bar", "/foo", "/xyz", "/xyz/bar"),
            ("/foo/bar", "/foo", "/xyz/", "/xyz/bar"),
            ("/foo", "/foo", "/xyz", "/xyz"),
            ("/foo/", "/foo", "/xyz", "/xyz/"),
            ("/foo/bar", "/foo", "", "/bar"),
            ("/foo/", "/foo", "", "/"),
            ("/foo", "/foo", "", "/"),
            ("/foo/", "/foo", "/", "/"),
            ("/foo", "/foo", "/", "/"),
            ("/foo", "", "/xyz", "/xyz/foo"),
        ];
        for (path, prefix, new, expected) in rows {
            let mut out = Vec::new();
            let new = PathRewrite::Prefix(new.into());
            rewrite(&new, path.as_bytes(), prefix.len(), &mut out);
            assert_eq!(String::from_utf8_lossy(&out), expected, "{path} {prefix} {new:?}");
        }
    }

    #[test]
    fn full_replaces_everything() {
        let mut out = b"http://a".to_vec();
        rewrite(&PathRewrite::Full("/new".into()), b"/old/path", 4, &mut out);
        assert_eq!(out, b"http://a/new");
    }
}
