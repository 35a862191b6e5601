//! Whether a response is the one that belongs to a request: its id, its body, what was uploaded.

use crate::protocol::Seen;
use crate::request::Entry;

/// Says what is wrong with a response to request `id`; nothing when all is well.
pub fn mismatch(id: u64, asked: &Entry, seen: &Seen) -> Option<String> {
    let wrong = |what: &str, wanted: u64, got: Option<u64>| match got {
        Some(got) if got == wanted => None,
        Some(got) => Some(format!("{what} is {got:x} instead of {wanted:x}")),
        None => Some(format!("no {what}: is ringway-backend behind it?")),
    };
    let found = wrong("x-request-id", id, seen.id)
        .or_else(|| wrong("x-body-length", seen.length, seen.body_length))
        .or_else(|| wrong("x-body-hash", seen.hash, seen.body_hash))
        .or_else(|| wrong("x-upload-length", asked.upload_length, seen.upload_length))
        .or_else(|| wrong("x-upload-hash", asked.upload_hash, seen.upload_hash))?;
    Some(format!("request {id:x}: {found}"))
}

#[cfg(test)]
mod tests {
    use super::mismatch;
    use crate::fnv::Fnv;
    use crate::mix::Mix;
    use crate::protocol::Seen;
    use crate::request::{Book, Shape};
    use crate::target::Target;

    #[test]
    fn each_difference_is_named() {
        let target = Target::parse("http://a/").expect("a URL");
        let book = Book::new(&target, &Mix::one("GET", 0), &Shape::default());
        let asked = book.entry(0).expect("one request");
        let good = Seen {
            length: 5,
            hash: 9,
            id: Some(7),
            body_hash: Some(9),
            body_length: Some(5),
            upload_hash: Some(Fnv::of(b"")),
            upload_length: Some(0),
        };
        assert_eq!(mismatch(7, asked, &good), None);
        for (bad, named) in [
            (Seen { id: Some(8), ..good }, "x-request-id is 8 instead of 7"),
            (Seen { id: None, ..good }, "no x-request-id"),
            (Seen { length: 4, ..good }, "x-body-length"),
            (Seen { hash: 1, ..good }, "x-body-hash"),
            (Seen { upload_length: Some(1), ..good }, "x-upload-length"),
            (Seen { upload_hash: Some(1), ..good }, "x-upload-hash"),
        ] {
            let said = mismatch(7, asked, &bad).unwrap_or_default();
            assert!(said.contains(named), "{said}");
        }
    }
}
