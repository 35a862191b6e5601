//! What is asked: one request again and again, or several by weight from a `--mix` file.
//!
//! A file has one request a line, `WEIGHT METHOD PATH [BODY-SIZE]`; empty lines and what follows
//! a `#` do not count.

use crate::amount;

/// One request of a mix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// How often it comes, relative to the others; at least 1.
    pub weight: u64,
    /// The method.
    pub method: String,
    /// The path with its query; without one, the URL's.
    pub path: Option<String>,
    /// Bytes of body to upload.
    pub body: usize,
}

/// All requests of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mix {
    /// At least one.
    pub asks: Vec<Ask>,
}

impl Mix {
    /// Always the same request, to the path of the URL.
    pub fn one(method: &str, body: usize) -> Self {
        Self { asks: vec![Ask { weight: 1, method: method.to_owned(), path: None, body }] }
    }

    /// Reads a file's text. All its errors at once, each with its line.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (mut asks, mut errors) = (Vec::new(), Vec::new());
        for (number, line) in text.lines().enumerate() {
            let line = line.split('#').next().unwrap_or_default().trim();
            if line.is_empty() {
                continue;
            }
            match ask(line) {
                Ok(ask) => asks.push(ask),
                Err(error) => errors.push(format!("line {}: {error}", number + 1)),
            }
        }
        match (asks.is_empty(), errors.is_empty()) {
            (_, false) => Err(errors.join("\n")),
            (true, true) => {
                Err("no request in it: write lines of WEIGHT METHOD PATH [BODY-SIZE]".to_owned())
            }
            (false, true) => Ok(Self { asks }),
        }
    }
}

/// A method as it can stand in a request line. HEAD and CONNECT are refused: the lengths of their
/// responses mean something else.
pub fn method(text: &str) -> Result<String, String> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_uppercase() || b == b'-') {
        return Err(format!("{text:?} is no method: write it in capitals, like GET"));
    }
    if matches!(text, "HEAD" | "CONNECT") {
        return Err(format!("{text} is not supported"));
    }
    Ok(text.to_owned())
}

fn ask(line: &str) -> Result<Ask, String> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let (&[weight, verb, path], rest) = words
        .split_first_chunk::<3>()
        .ok_or_else(|| format!("{line:?} is not WEIGHT METHOD PATH [BODY-SIZE]"))?;
    let weight = amount::positive(weight).map_err(|e| format!("weight: {e}"))?;
    if weight > 1_000_000 {
        return Err("weight: at most 1M".to_owned());
    }
    let method = method(verb)?;
    if !path.starts_with('/') || !path.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(format!("{path:?} is no path: it begins with / and has no control bytes"));
    }
    let body = match rest {
        [] => 0,
        [size] => body_size(size)?,
        [_, more, ..] => return Err(format!("{more:?} is one word too many")),
    };
    Ok(Ask { weight, method, path: Some(path.to_owned()), body })
}

/// The size of an upload: at most 64 MiB, because it is kept in memory once a thread.
pub fn body_size(text: &str) -> Result<usize, String> {
    let size = amount::size(text).map_err(|e| format!("body size: {e}"))?;
    match usize::try_from(size) {
        Ok(size) if size <= 64 << 20 => Ok(size),
        _ => Err(format!("body size: {text:?} is more than 64m")),
    }
}

#[cfg(test)]
mod tests {
    use super::{Ask, Mix};

    #[test]
    fn lines_comments_and_sizes() {
        let text = "# most are small\n9 GET /64\n\n1 POST /echo?x=1 16k # an upload\n";
        let mix = Mix::parse(text).expect("a mix");
        let ask = |weight, method: &str, path: &str, body| Ask {
            weight,
            method: method.to_owned(),
            path: Some(path.to_owned()),
            body,
        };
        assert_eq!(mix.asks, [ask(9, "GET", "/64", 0), ask(1, "POST", "/echo?x=1", 16_384)]);
    }

    #[test]
    fn all_errors_with_their_lines() {
        let text = "1 GET /\n0 GET /\n1 get /\nx GET /\n1 GET no\n1 GET\n1 GET / 1 2\n1 POST / 1g\n1 HEAD /";
        let error = Mix::parse(text).expect_err("errors");
        let lines: Vec<&str> = error.lines().map(|l| &l[..7]).collect();
        assert_eq!(lines, [2, 3, 4, 5, 6, 7, 8, 9].map(|n| format!("line {n}:")[..7].to_owned()));
    }

    #[test]
    fn nothing_is_no_mix() {
        assert!(Mix::parse("# nothing\n").is_err());
    }
}
