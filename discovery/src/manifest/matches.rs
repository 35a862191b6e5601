//! `matches` of an HTTPRoute's rule, tried out as they are read.

use ringway_core::policy::route::{
    HeaderMatch, Match, PathMatch, QueryMatch, RouteTableBuilder, ValueMatch,
};
use ringway_core::snapshot::Rule;

use super::cursor::Cursor;
use super::value;

const METHODS: [&str; 9] =
    ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"];

pub(super) fn decode(cursor: &Cursor<'_>) -> Option<Match> {
    let path = match cursor.map("path") {
        Some(path) => self::path(&path)?,
        None => PathMatch::default(),
    };
    Some(Match {
        path,
        method: cursor.get("method").and_then(|method| self::method(&method)),
        headers: headers(cursor),
        query: query(cursor),
    })
}

fn path(cursor: &Cursor<'_>) -> Option<PathMatch> {
    let kind = cursor.text("type").unwrap_or_else(|| "PathPrefix".into());
    let value = cursor.get("value");
    match &*kind {
        "Exact" => value
            .map_or_else(|| Some("/".into()), |v| value::path(&v))
            .map(|p| PathMatch::Exact((*p).into())),
        "PathPrefix" => value
            .map_or_else(|| Some("/".into()), |v| value::path(&v))
            .map(|p| PathMatch::Prefix((*p).into())),
        "RegularExpression" => {
            let value = cursor.need("value")?;
            pattern(&value).map(PathMatch::Regex)
        }
        _ => {
            cursor.get("type")?.wrong("Exact, PathPrefix or RegularExpression", "");
            None
        }
    }
}

fn method(cursor: &Cursor<'_>) -> Option<Box<str>> {
    let text = cursor.as_text()?;
    if !METHODS.contains(&&*text) {
        cursor.wrong("a method such as GET or POST", "methods are written in capital letters");
        return None;
    }
    Some((*text).into())
}

/// `headers`; also those of a GRPCRoute.
pub(super) fn headers(cursor: &Cursor<'_>) -> Vec<HeaderMatch> {
    let header = |header: &Cursor<'_>| {
        let name = value::field_name(&header.need("name")?);
        let value = compared(header);
        Some(HeaderMatch { name: (*name?).into(), value: value? })
    };
    cursor.maps("headers").iter().filter_map(header).collect()
}

fn query(cursor: &Cursor<'_>) -> Vec<QueryMatch> {
    let parameter = |parameter: &Cursor<'_>| {
        let name = parameter.need_text("name");
        let value = compared(parameter);
        Some(QueryMatch { name: (*name?).into(), value: value? })
    };
    cursor.maps("queryParams").iter().filter_map(parameter).collect()
}

fn compared(cursor: &Cursor<'_>) -> Option<ValueMatch> {
    let kind = cursor.text("type").unwrap_or_else(|| "Exact".into());
    let value = cursor.need("value")?;
    match &*kind {
        "Exact" => value.as_text().map(|text| ValueMatch::Exact((*text).into())),
        "RegularExpression" => pattern(&value).map(ValueMatch::Regex),
        _ => {
            cursor.get("type")?.wrong("Exact or RegularExpression", "");
            None
        }
    }
}

/// A regular expression that compiles.
pub(super) fn pattern(cursor: &Cursor<'_>) -> Option<Box<str>> {
    let text: Box<str> = (*cursor.as_text()?).into();
    let tried = Match { path: PathMatch::Regex(text.clone()), ..Match::default() };
    if let Err(error) = RouteTableBuilder::new().add(&[], vec![tried], Rule::default()) {
        let reason = error.reason.lines().last().unwrap_or_default().trim().to_owned();
        cursor.wrong("a regular expression", &reason);
        return None;
    }
    Some(text)
}
