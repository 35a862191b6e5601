//! Path modifiers (Gateway API HTTPPathModifier), for requests and for redirects.

use crate::snapshot::PathRewrite;

/// Appends the rewritten `path` (without query) to `out`; the result begins with a slash.
///
/// `matched` is how many bytes of the path the route matched: whole elements. A slash at the end
/// of the prefix or of its replacement does not count, so a path ends in one only if it did
/// before, or if nothing else is left of it.
pub fn rewrite(rewrite: &PathRewrite, path: &[u8], matched: usize, out: &mut Vec<u8>) {
    let start = out.len();
    match rewrite {
        PathRewrite::Full(full) => out.extend_from_slice(full.as_bytes()),
        PathRewrite::Prefix(prefix) => {
            let (head, _) = path.split_at(matched.min(path.len()));
            let kept = head.strip_suffix(b"/").unwrap_or(head).len();
            out.extend_from_slice(prefix.strip_suffix('/').unwrap_or(prefix).as_bytes());
            out.extend_from_slice(&path[kept..]);
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

    /// The table in the documentation of Gateway API's ReplacePrefixMatch, then what follows
    /// from its rule that a trailing slash is ignored.
    #[test]
    fn prefix_rows() {
        let rows = [
            ("/foo/bar", "/foo", "/xyz", "/xyz/bar"),
            ("/foo/bar", "/foo", "/xyz/", "/xyz/bar"),
            ("/foo/bar", "/foo/", "/xyz", "/xyz/bar"),
            ("/foo/bar", "/foo/", "/xyz/", "/xyz/bar"),
            ("/foo", "/foo", "/xyz", "/xyz"),
            ("/foo/", "/foo", "/xyz", "/xyz/"),
            ("/foo/bar", "/foo", "", "/bar"),
            ("/foo/", "/foo", "", "/"),
            ("/foo", "/foo", "", "/"),
            ("/foo/", "/foo", "/", "/"),
            ("/foo", "/foo", "/", "/"),
            ("/foo", "/foo", "/xyz/", "/xyz"),
            ("/foo/", "/foo", "/xyz/", "/xyz/"),
            ("/foo/", "/foo/", "/xyz", "/xyz/"),
            ("/b", "/", "/xyz", "/xyz/b"),
            ("/b", "", "/xyz", "/xyz/b"),
            ("/", "", "/xyz", "/xyz/"),
            ("/foo//b", "/foo", "/xyz", "/xyz//b"),
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
        rewrite(&PathRewrite::Full("".into()), b"/old/path", 4, &mut out);
        assert_eq!(out, b"http://a/new/");
    }

    #[test]
    fn a_prefix_longer_than_the_path_is_all_of_it() {
        let mut out = Vec::new();
        rewrite(&PathRewrite::Prefix("/new".into()), b"/old", 9, &mut out);
        assert_eq!(out, b"/new");
    }
}
