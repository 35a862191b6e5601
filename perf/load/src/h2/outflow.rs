//! How much may be sent on a connection: the peer's settings and the windows it has opened.

use super::frame::{FRAME, WINDOW};
use super::hpack::TABLE;
use crate::protocol::Malformed;

/// What the peer allows.
#[derive(Clone, Copy, Debug)]
pub struct Outflow {
    /// Bytes of bodies that the connection takes now.
    pub window: i64,
    /// The window that a stream begins with.
    pub initial: i64,
    /// Bytes of a frame at the most.
    pub frame: usize,
    /// Streams at once.
    pub streams: usize,
    /// Bytes of the table by which it decodes.
    pub table: usize,
}

impl Default for Outflow {
    fn default() -> Self {
        let (window, initial) = (WINDOW, WINDOW);
        Self { window, initial, frame: FRAME, streams: usize::MAX, table: TABLE }
    }
}

impl Outflow {
    /// Takes in the peer's settings: by how much the windows of its streams have changed.
    pub fn settings(&mut self, payload: &[u8]) -> Result<i64, Malformed> {
        let before = self.initial;
        for setting in payload.chunks(6) {
            let &[a, b, c, d, e, f] = setting else {
                return Err(Malformed("settings that break off"));
            };
            let value = u32::from_be_bytes([c, d, e, f]);
            match u16::from_be_bytes([a, b]) {
                1 => self.table = value as usize,
                3 => self.streams = value as usize,
                4 => self.initial = value.into(),
                5 => self.frame = (value as usize).min(FRAME),
                _ => {}
            }
        }
        Ok(self.initial - before)
    }

    /// How much of `left` bytes fits into one frame of a stream with such a `window`; 0 for none.
    pub fn fits(&self, window: i64, left: usize) -> usize {
        let open = usize::try_from(window.min(self.window)).unwrap_or(0);
        left.min(open).min(self.frame)
    }
}
