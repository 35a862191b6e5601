//! The lines of a watch as its bytes arrive: one event each, of bounded size.

/// The most bytes of one object: etcd refuses more than 1.5 MiB unless it is told otherwise.
pub(crate) const MOST_BYTES: usize = 16 << 20;

/// Buffers that have grown beyond this are given back when they are empty.
const KEPT_BYTES: usize = 64 << 10;

/// Bytes that have arrived and not yet become lines.
#[derive(Debug)]
pub(crate) struct Lines {
    buffer: Vec<u8>,
    /// Where the next line begins.
    start: usize,
    /// How far there is no end of it.
    seen: usize,
    /// Whether the line that begins is the rest of one that was too long.
    skipping: bool,
    most: usize,
}

/// One line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Line<'b> {
    /// Without its end; never empty.
    Whole(&'b [u8]),
    /// It was longer than allowed and is gone.
    TooLong,
}

impl Lines {
    pub(crate) const fn new(most: usize) -> Self {
        Self { buffer: Vec::new(), start: 0, seen: 0, skipping: false, most }
    }

    /// Takes bytes. Lines have to be taken until there are none before the next call.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.buffer.drain(..self.start);
        self.seen -= self.start;
        self.start = 0;
        if self.buffer.is_empty() && self.buffer.capacity() > KEPT_BYTES {
            self.buffer = Vec::new();
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole line.
    pub(crate) fn next(&mut self) -> Option<Line<'_>> {
        loop {
            let Some(length) = self.buffer[self.seen..].iter().position(|&b| b == b'\n') else {
                self.seen = self.buffer.len();
                return self.too_long().then_some(Line::TooLong);
            };
            let (from, to) = (self.start, self.seen + length);
            self.start = to + 1;
            self.seen = self.start;
            if std::mem::take(&mut self.skipping) {
                continue;
            }
            if to - from > self.most {
                return Some(Line::TooLong);
            }
            if to > from {
                return Some(Line::Whole(&self.buffer[from..to]));
            }
        }
    }

    /// Drops what has arrived of a line that is too long; whether that is news.
    fn too_long(&mut self) -> bool {
        if !self.skipping && self.buffer.len() - self.start <= self.most {
            return false;
        }
        self.buffer.clear();
        (self.start, self.seen) = (0, 0);
        !std::mem::replace(&mut self.skipping, true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lines when the text comes in pieces of that size.
    fn lines(text: &str, piece: usize, most: usize) -> Vec<String> {
        let mut lines = Lines::new(most);
        let mut found = Vec::new();
        for bytes in text.as_bytes().chunks(piece) {
            lines.push(bytes);
            while let Some(line) = lines.next() {
                found.push(match line {
                    Line::Whole(line) => String::from_utf8_lossy(line).into_owned(),
                    Line::TooLong => String::from("too long"),
                });
            }
        }
        found
    }

    #[test]
    fn lines_are_the_same_however_they_arrive() {
        let text = "one\n\ntwo\n{\"three\":3}\nbegun";
        for piece in 1..=text.len() {
            assert_eq!(lines(text, piece, 100), ["one", "two", "{\"three\":3}"], "{piece}");
        }
    }

    #[test]
    fn a_line_that_is_too_long_is_dropped_alone() {
        let text = "a\nbbbbbbbbbb\nc\n";
        for piece in 1..=text.len() {
            assert_eq!(lines(text, piece, 4), ["a", "too long", "c"], "{piece}");
        }
    }

    #[test]
    fn memory_is_bounded_by_the_longest_line() {
        let mut lines = Lines::new(1000);
        for _ in 0..100 {
            lines.push(&[b'x'; 999]);
            while lines.next().is_some() {}
        }
        assert!(lines.buffer.len() <= 1000 && lines.buffer.capacity() < 4000);
    }
}
