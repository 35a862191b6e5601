//! `filters` of a rule or of a backend.

use ringway_core::snapshot::{Filters, HeaderEdits, PathRewrite, Redirect};

use super::cursor::Cursor;
use super::value;
use crate::object::RouteMirror;

/// What filters of a rule say.
#[derive(Debug, Default)]
pub(super) struct Decoded {
    pub(super) filters: Filters,
    pub(super) redirect: Option<Redirect>,
    pub(super) mirrors: Vec<RouteMirror>,
}

/// Reads the list at `filters`. Those in `allowed` may stand there.
pub(super) fn decode(cursor: &Cursor<'_>, namespace: &str, allowed: &[&str]) -> Decoded {
    let mut decoded = Decoded::default();
    for filter in cursor.maps("filters") {
        // A filter that is not known may be one that protects something: it is never skipped.
        let Some(kind) = filter.need("type") else { continue };
        let Some(text) = kind.as_text() else { continue };
        if !allowed.contains(&&*text) {
            kind.wrong(
                &format!("one of {}", allowed.join(", ")),
                "this filter is not implemented here",
            );
            continue;
        }
        one(&filter, &text, namespace, &mut decoded);
    }
    decoded
}

fn one(filter: &Cursor<'_>, kind: &str, namespace: &str, decoded: &mut Decoded) -> Option<()> {
    match kind {
        "RequestHeaderModifier" => {
            decoded.filters.request = edits(&filter.need_map("requestHeaderModifier")?);
        }
        "ResponseHeaderModifier" => {
            decoded.filters.response = edits(&filter.need_map("responseHeaderModifier")?);
        }
        "RequestRedirect" => {
            decoded.redirect = Some(redirect(&filter.need_map("requestRedirect")?));
        }
        "URLRewrite" => {
            let rewrite = filter.need_map("urlRewrite")?;
            let host = rewrite.get("hostname");
            decoded.filters.hostname = host.and_then(|host| value::hostname(&host, false));
            decoded.filters.path = rewrite.map("path").and_then(|path| path_rewrite(&path));
        }
        "RequestMirror" => {
            decoded.mirrors.extend(mirror(&filter.need_map("requestMirror")?, namespace));
        }
        _ => {}
    }
    Some(())
}

fn edits(cursor: &Cursor<'_>) -> HeaderEdits {
    let pairs = |key| {
        let pair = |item: &Cursor<'_>| {
            let name = value::field_name(&item.need("name")?);
            let value = value::field_value(&item.need("value")?);
            Some(((*name?).into(), (*value?).into()))
        };
        cursor.maps(key).iter().filter_map(pair).collect()
    };
    let remove = cursor.list("remove");
    let name = |item| value::field_name(item).map(|name| (*name).into());
    HeaderEdits {
        set: pairs("set"),
        add: pairs("add"),
        remove: remove.iter().filter_map(name).collect(),
    }
}

fn redirect(cursor: &Cursor<'_>) -> Redirect {
    let scheme = cursor.get("scheme").and_then(|scheme| {
        let text = scheme.as_text()?;
        if !["http", "https"].contains(&&*text) {
            scheme.wrong("http or https", "");
        }
        Some((*text).into())
    });
    let hostname = cursor.get("hostname").and_then(|host| value::hostname(&host, false));
    let status = cursor.get("statusCode").and_then(|code| {
        let number = code.as_number(300, 399)?;
        if ![301, 302, 303, 307, 308].contains(&number) {
            code.wrong("301, 302, 303, 307 or 308", "");
        }
        u16::try_from(number).ok()
    });
    Redirect {
        scheme,
        hostname: hostname.map(|host| (*host).into()),
        port: cursor.port("port"),
        path: cursor.map("path").and_then(|path| path_rewrite(&path)),
        status: status.unwrap_or(302),
    }
}

fn path_rewrite(cursor: &Cursor<'_>) -> Option<PathRewrite> {
    let kind = cursor.need("type")?;
    match &*kind.as_text()? {
        "ReplaceFullPath" => {
            let path = value::path(&cursor.need("replaceFullPath")?)?;
            Some(PathRewrite::Full((*path).into()))
        }
        "ReplacePrefixMatch" => {
            let value = cursor.need("replacePrefixMatch")?;
            let text = value.as_text()?;
            let path = if text.is_empty() { "/".into() } else { value::path(&value)? };
            Some(PathRewrite::Prefix((*path).into()))
        }
        _ => {
            kind.wrong("ReplaceFullPath or ReplacePrefixMatch", "");
            None
        }
    }
}

fn mirror(cursor: &Cursor<'_>, namespace: &str) -> Option<RouteMirror> {
    let service = value::backend(&cursor.need_map("backendRef")?, namespace)?;
    let number = |cursor: &Cursor<'_>, least, most| {
        cursor.as_number(least, most).and_then(|number| u32::try_from(number).ok())
    };
    let (mut numerator, mut denominator) = (1, 1);
    if let Some(percent) = cursor.get("percent") {
        (numerator, denominator) = (number(&percent, 0, 100)?, 100);
    } else if let Some(fraction) = cursor.map("fraction") {
        denominator = match fraction.get("denominator") {
            Some(value) => number(&value, 1, i64::from(i32::MAX))?,
            None => 100,
        };
        numerator = number(&fraction.need("numerator")?, 0, i64::from(denominator))?;
    }
    Some(RouteMirror { service, numerator, denominator })
}
