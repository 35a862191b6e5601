//! Frames, and what they say of streams and of the connection.

use std::collections::BTreeMap;

use super::hpack::{Decoder, Fields};
use crate::text;

/// What a client begins with: the preface, empty SETTINGS, and the acknowledgement of the server's.
pub const BEGIN: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\
    \x00\x00\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x04\x01\x00\x00\x00\x00";

/// The bytes of a preface alone.
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Types of frames.
pub mod kind {
    #![allow(missing_docs, reason = "the names are the protocol's")]
    pub const DATA: u8 = 0;
    pub const HEADERS: u8 = 1;
    pub const RST_STREAM: u8 = 3;
    pub const SETTINGS: u8 = 4;
    pub const PING: u8 = 6;
    pub const GOAWAY: u8 = 7;
    pub const WINDOW_UPDATE: u8 = 8;
    pub const CONTINUATION: u8 = 9;
}

/// Flags.
pub const END_STREAM: u8 = 1;
/// END_HEADERS
pub const END_HEADERS: u8 = 4;

/// One frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Its type.
    pub kind: u8,
    /// Its flags.
    pub flags: u8,
    /// Its stream.
    pub stream: u32,
    /// What it carries.
    pub payload: Vec<u8>,
}

/// The bytes of a frame.
#[must_use]
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut out = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    out.extend_from_slice(&[kind, flags]);
    out.extend_from_slice(&stream.to_be_bytes());
    out.extend_from_slice(payload);
    out
}

/// The whole frames at the front of `bytes`.
#[must_use]
pub fn frames(mut bytes: &[u8]) -> Vec<Frame> {
    let mut out = Vec::new();
    while bytes.len() >= 9 {
        let length = u32::from_be_bytes([0, bytes[0], bytes[1], bytes[2]]) as usize;
        let Some(payload) = bytes.get(9..9 + length) else { break };
        out.push(Frame {
            kind: bytes[3],
            flags: bytes[4],
            stream: number(&bytes[5..9]) & 0x7FFF_FFFF,
            payload: payload.to_vec(),
        });
        bytes = &bytes[9 + length..];
    }
    out
}

fn number(bytes: &[u8]) -> u32 {
    bytes.iter().take(4).fold(0, |n, &b| n << 8 | u32::from(b))
}

/// What one side has said on a stream.
#[derive(Clone, Debug, Default)]
pub struct Message {
    /// The header lists in order: interim heads, the head, trailers.
    pub lists: Vec<Fields>,
    /// The content.
    pub body: Vec<u8>,
    /// Its END_STREAM has come.
    pub ended: bool,
    /// END_STREAM came with a header list.
    pub ended_by_list: bool,
    /// The code of its RST_STREAM.
    pub reset: Option<u32>,
}

impl Message {
    /// The first header list that is no interim head.
    #[must_use]
    pub fn head(&self) -> Option<&Fields> {
        self.lists
            .iter()
            .find(|list| text::value(list, ":status").is_none_or(|status| !status.starts_with('1')))
    }

    /// The status of the final head.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        text::value(self.head()?, ":status")?.parse().ok()
    }

    /// The first value of a field of the head.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&str> {
        text::value(self.head()?, name)
    }

    /// A trailer field.
    #[must_use]
    pub fn trailer(&self, name: &str) -> Option<&str> {
        text::value(self.lists.last()?, name)
    }

    /// The content as text.
    #[must_use]
    pub fn text(&self) -> String {
        text::latin1(&self.body)
    }

    /// Whether the proxy made it itself.
    #[must_use]
    pub fn local(&self) -> bool {
        self.value("x-origin-id").is_none() && self.value("x-origin-refused").is_none()
    }

    /// Whether nothing more will come.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.ended || self.reset.is_some()
    }
}

/// What one side has said on a connection.
#[derive(Clone, Debug, Default)]
pub struct Said {
    /// By stream.
    pub streams: BTreeMap<u32, Message>,
    /// Last stream and code of each GOAWAY.
    pub goaways: Vec<(u32, u32)>,
    /// Payloads of PINGs that ask for an answer.
    pub pings: Vec<Vec<u8>>,
    /// Bytes of the windows: by stream, and under 0 the connection's.
    pub windows: BTreeMap<u32, u64>,
    /// SETTINGS_INITIAL_WINDOW_SIZE, if it was stated.
    pub window: Option<u32>,
    /// How many frames of each type there were.
    pub counts: BTreeMap<u8, usize>,
    /// Why the rest could not be read.
    pub bad: Option<String>,
}

impl Said {
    /// Reads all that was said, without a preface.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        let mut said = Self::default();
        let mut decoder = Decoder::default();
        let mut block: Option<(Frame, Vec<u8>)> = None;
        for frame in frames(bytes) {
            *said.counts.entry(frame.kind).or_default() += 1;
            match frame.kind {
                kind::HEADERS | kind::CONTINUATION => {
                    let (first, mut all) =
                        block.take().unwrap_or_else(|| (frame.clone(), Vec::new()));
                    all.extend(unpadded(&frame));
                    if frame.flags & END_HEADERS == 0 {
                        block = Some((first, all));
                        continue;
                    }
                    match decoder.decode(&all) {
                        Ok(fields) => said.list(&first, fields),
                        Err(why) => {
                            said.bad = Some(why);
                            return said;
                        }
                    }
                }
                kind::GOAWAY if frame.payload.len() >= 8 => {
                    said.goaways.push((number(&frame.payload), number(&frame.payload[4..])));
                }
                kind::PING if frame.flags & 1 == 0 => said.pings.push(frame.payload),
                kind::DATA | kind::RST_STREAM => said.body(&frame),
                kind::WINDOW_UPDATE => {
                    let window = said.windows.entry(frame.stream).or_default();
                    *window += u64::from(number(&frame.payload));
                }
                kind::SETTINGS => {
                    let mut all = frame.payload.chunks_exact(6);
                    if let Some(stated) = all.find(|s| s[..2] == [0, 4]) {
                        said.window = Some(number(&stated[2..]));
                    }
                }
                _ => {}
            }
        }
        said
    }

    fn list(&mut self, first: &Frame, fields: Fields) {
        let message = self.streams.entry(first.stream).or_default();
        message.lists.push(fields);
        if first.flags & END_STREAM != 0 {
            message.ended = true;
            message.ended_by_list = true;
        }
    }

    fn body(&mut self, frame: &Frame) {
        let message = self.streams.entry(frame.stream).or_default();
        if frame.kind == kind::RST_STREAM {
            message.reset = Some(number(&frame.payload));
        } else {
            message.body.extend(unpadded(frame));
            message.ended |= frame.flags & END_STREAM != 0;
        }
    }

    /// What was said on a stream; nothing if nothing was.
    #[must_use]
    pub fn stream(&self, stream: u32) -> Message {
        self.streams.get(&stream).cloned().unwrap_or_default()
    }
}

/// A frame's content without padding and priority.
fn unpadded(frame: &Frame) -> Vec<u8> {
    let mut payload = &frame.payload[..];
    if frame.kind == kind::CONTINUATION {
        return payload.to_vec();
    }
    let mut padding = 0;
    if frame.flags & 8 != 0 && !payload.is_empty() {
        padding = usize::from(payload[0]);
        payload = &payload[1..];
    }
    if frame.kind == kind::HEADERS && frame.flags & 0x20 != 0 {
        payload = payload.get(5..).unwrap_or_default();
    }
    payload[..payload.len().saturating_sub(padding)].to_vec()
}
