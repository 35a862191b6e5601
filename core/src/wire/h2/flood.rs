//! The guard against floods: follows a connection's frames by their headers alone, and says when
//! one kind comes more often than honest use explains (CVE-2019-9512 to 9518, CVE-2023-44487).
//!
//! Each kind of frame has an allowance. A frame takes one from it, time gives a tenth of the whole
//! back each second, and so does the traffic that such frames go along with: whoever downloads may
//! send window updates and pings for it, whoever is answered may cancel other requests. What costs
//! memory (header blocks, empty or tiny DATA, streams that are refused) is bounded by the `h2`
//! crate itself.

use crate::time::{Duration, Instant};

/// Bytes of a client's preface before its first frame (RFC 9113 3.4).
const PREFACE: u32 = 24;
const FRAME_HEADER: usize = 9;
const END_HEADERS: u8 = 0x4;

/// What is allowed of each kind of frame at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowances {
    /// PING, SETTINGS, PRIORITY, WINDOW_UPDATE, GOAWAY and unknown frames, of each. Default 1,000,
    /// and so 100 a second: gRPC pings once a round trip while it measures, and earns these.
    pub control: u32,
    /// RST_STREAM. Default 200, and so 20 a second and one for each response: Envoy's guard against
    /// rapid resets also begins to count at a few hundred.
    pub resets: u32,
    /// Streams that had to be reset because the peer broke the protocol on them, or opened too many.
    /// Default 1,024, and so 102 a second and one for each response.
    pub stream_errors: u32,
}

impl Default for Allowances {
    fn default() -> Self {
        Self { control: 1000, resets: 200, stream_errors: 1024 }
    }
}

impl Allowances {
    const fn of(&self, kind: usize) -> u32 {
        match kind {
            _ if kind < Flood::CONTROL => self.control,
            _ if kind == Flood::Reset as usize => self.resets,
            _ if kind == Flood::Stall as usize => self.resets / 4,
            _ => self.stream_errors,
        }
    }

    /// Those of a peer that carries the requests of many clients, as many streams as `streams` at a
    /// time: it may give up as many at once.
    #[must_use]
    pub fn of_peer(self, streams: u32) -> Self {
        Self {
            control: self.control.max(streams),
            resets: self.resets.max(streams),
            stream_errors: self.stream_errors.max(streams),
        }
    }
}

/// What came too often.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Flood {
    /// PRIORITY
    Priority,
    /// SETTINGS
    Settings,
    /// PING
    Ping,
    /// WINDOW_UPDATE
    WindowUpdate,
    /// GOAWAY or a frame of an unknown type.
    Other,
    /// RST_STREAM
    Reset,
    /// No frames: responses that the peer asked for and left no room for, until they were given up
    /// (CVE-2019-9511, 9517). Allowed are a quarter as many as resets.
    Stall,
    /// No frames of its own: the resets that it provoked (CVE-2025-8671).
    StreamErrors,
}

impl Flood {
    const COUNT: usize = Self::StreamErrors as usize + 1;
    /// Those before it are control frames.
    const CONTROL: usize = Self::Reset as usize;

    const fn of(kind: u8) -> Option<Self> {
        match kind {
            0 | 1 | 5 | 9 => None,
            2 => Some(Self::Priority),
            3 => Some(Self::Reset),
            4 => Some(Self::Settings),
            6 => Some(Self::Ping),
            8 => Some(Self::WindowUpdate),
            _ => Some(Self::Other),
        }
    }
}

/// Follows the frames that one peer sends.
#[derive(Debug)]
pub struct Frames {
    allowances: Allowances,
    left: [u32; Flood::COUNT],
    /// When they were whole, and up to when time has given back since.
    begun: Instant,
    refilled: Instant,
    /// What traffic gives back to control frames, until one comes.
    earned: u32,
    /// What has come of the next frame's header.
    header: [u8; FRAME_HEADER],
    come: usize,
    /// Bytes to pass over before it.
    skip: u32,
    /// The frame passed over is part of a header block, or one has not ended yet.
    block: bool,
    /// Header blocks that have come, wrapping around.
    blocks: u32,
    settled: bool,
    going: bool,
}

impl Frames {
    /// Of a client, whose preface comes first.
    #[must_use]
    pub const fn of_client(allowances: Allowances, now: Instant) -> Self {
        Self { skip: PREFACE, ..Self::of_endpoint(allowances, now) }
    }

    /// Of an endpoint.
    #[must_use]
    pub const fn of_endpoint(allowances: Allowances, now: Instant) -> Self {
        let mut left = [allowances.control; Flood::COUNT];
        left[Flood::Reset as usize] = allowances.resets;
        left[Flood::Stall as usize] = allowances.resets / 4;
        left[Flood::StreamErrors as usize] = allowances.stream_errors;
        Self {
            allowances,
            left,
            begun: now,
            refilled: now,
            earned: 0,
            header: [0; FRAME_HEADER],
            come: 0,
            skip: 0,
            block: false,
            blocks: 0,
            settled: false,
            going: false,
        }
    }

    /// Whether the peer's first SETTINGS has come.
    #[must_use]
    pub const fn is_settled(&self) -> bool {
        self.settled
    }

    /// Whether the peer has said that it will end the connection (GOAWAY).
    #[must_use]
    pub const fn is_going(&self) -> bool {
        self.going
    }

    /// Whether the peer is in the middle of a header block.
    #[must_use]
    pub const fn is_in_block(&self) -> bool {
        self.block
    }

    /// Whole header blocks that have come: each may be a request, and no request is none of them.
    /// Wraps around.
    #[must_use]
    pub const fn blocks(&self) -> u32 {
        self.blocks
    }

    /// Follows what was received.
    ///
    /// # Errors
    /// The kind of frame that came too often.
    pub fn follow(&mut self, mut bytes: &[u8], now: Instant) -> Result<(), Flood> {
        self.refill(now);
        let mut result = Ok(());
        while !bytes.is_empty() {
            if self.skip > 0 {
                let length = bytes.len().min(self.skip as usize);
                // No more than `skip`.
                self.skip -= length as u32;
                bytes = &bytes[length..];
                self.pass_block();
                continue;
            }
            let length = bytes.len().min(FRAME_HEADER - self.come);
            if let (FRAME_HEADER, Some(header)) = (length, bytes.first_chunk()) {
                self.header = *header;
            } else {
                self.header[self.come..self.come + length].copy_from_slice(&bytes[..length]);
            }
            self.come += length;
            bytes = &bytes[length..];
            if self.come == FRAME_HEADER {
                self.come = 0;
                let allowed = self.frame();
                result = result.and(allowed);
                self.pass_block();
            }
        }
        result
    }

    /// The peer was sent a head, or DATA of `bytes`, and may answer that with control frames.
    pub const fn sent(&mut self, bytes: usize) {
        self.earn(4 + (bytes >> 12) as u32);
    }

    /// A response was given up because the peer left no room for it.
    ///
    /// # Errors
    /// When that was one too many.
    pub fn starved(&mut self) -> Result<(), Flood> {
        let left = &mut self.left[Flood::Stall as usize];
        *left = left.checked_sub(1).ok_or(Flood::Stall)?;
        Ok(())
    }

    /// So many streams had to be reset for what the peer did on them.
    ///
    /// # Errors
    /// When that was one too many.
    pub fn erred(&mut self, streams: u32) -> Result<(), Flood> {
        let left = &mut self.left[Flood::StreamErrors as usize];
        *left = left.checked_sub(streams).ok_or(Flood::StreamErrors)?;
        Ok(())
    }

    /// A stream has ended in good order.
    pub fn completed(&mut self) {
        for kind in [Flood::Reset, Flood::StreamErrors] {
            let left = &mut self.left[kind as usize];
            *left = (*left + 1).min(self.allowances.of(kind as usize));
        }
    }

    fn frame(&mut self) -> Result<(), Flood> {
        let [a, b, c, kind, ..] = self.header;
        self.skip = u32::from_be_bytes([0, a, b, c]);
        self.settled |= kind == 4;
        self.going |= kind == 7;
        match kind {
            0 => self.earn(u32::from(self.skip > 0)),
            1 => self.earn(4),
            _ => {}
        }
        if matches!(kind, 1 | 9) {
            self.block = true;
        }
        let Some(kind) = Flood::of(kind) else { return Ok(()) };
        self.give_back();
        let left = &mut self.left[kind as usize];
        *left = left.checked_sub(1).ok_or(kind)?;
        Ok(())
    }

    /// Whether the frame that was passed over has ended a header block.
    fn pass_block(&mut self) {
        let [_, _, _, kind, flags, ..] = self.header;
        if self.skip == 0 && matches!(kind, 1 | 9) && flags & END_HEADERS != 0 {
            self.block = false;
            self.blocks = self.blocks.wrapping_add(1);
        }
    }

    const fn earn(&mut self, some: u32) {
        self.earned = self.earned.saturating_add(some);
    }

    /// Gives back what was earned. Heads and bodies are many, control frames are few, and what is
    /// given back together comes to the same.
    fn give_back(&mut self) {
        let some = std::mem::take(&mut self.earned);
        for left in &mut self.left[..Flood::CONTROL] {
            *left = left.saturating_add(some).min(self.allowances.control);
        }
    }

    fn refill(&mut self, now: Instant) {
        let (before, after) = (self.refilled.since(self.begun), now.since(self.begun));
        if before.as_millis() / 100 == after.as_millis() / 100 {
            return;
        }
        self.refilled = now;
        for (kind, left) in self.left.iter_mut().enumerate() {
            let all = self.allowances.of(kind);
            // In whole ones since the beginning: neither rounded up nor lost, however often it is.
            let given = |time: Duration| u128::from(all) * time.as_millis() / 10_000;
            let some = u32::try_from(given(after) - given(before)).unwrap_or(u32::MAX);
            *left = left.saturating_add(some).min(all);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FEW: Allowances = Allowances { control: 100, resets: 10, stream_errors: 20 };

    fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        let mut out = (payload.len() as u32).to_be_bytes()[1..].to_vec();
        out.extend_from_slice(&[kind, flags, 0, 0, 0, 1]);
        out.extend_from_slice(payload);
        out
    }

    /// How many such frames pass at once before one is refused.
    fn passes(frames: &mut Frames, bytes: &[u8], now: Instant) -> (usize, Option<Flood>) {
        for count in 0..10_000 {
            if let Err(flood) = frames.follow(bytes, now) {
                return (count, Some(flood));
            }
        }
        (10_000, None)
    }

    #[test]
    fn each_kind_has_its_own_allowance_and_bodies_and_heads_have_none() {
        let rows = [
            (0, 10_000, None),
            (1, 10_000, None),
            (2, 100, Some(Flood::Priority)),
            (3, 10, Some(Flood::Reset)),
            (4, 100, Some(Flood::Settings)),
            (6, 100, Some(Flood::Ping)),
            (7, 100, Some(Flood::Other)),
            (8, 100, Some(Flood::WindowUpdate)),
            (9, 10_000, None),
            (200, 100, Some(Flood::Other)),
        ];
        for (kind, count, flood) in rows {
            let mut frames = Frames::of_endpoint(FEW, Instant::ZERO);
            let seen = passes(&mut frames, &frame(kind, 0x4, b"12345678"), Instant::ZERO);
            assert_eq!(seen, (count, flood), "type {kind}");
        }
    }

    #[test]
    fn time_and_traffic_give_back() {
        let ping = frame(6, 0, b"12345678");
        let mut frames = Frames::of_endpoint(FEW, Instant::ZERO);
        passes(&mut frames, &ping, Instant::ZERO);
        let later = Instant::ZERO + Duration::from_secs(1);
        assert_eq!(passes(&mut frames, &ping, later).0, 10);
        frames.sent(16 << 10);
        assert_eq!(passes(&mut frames, &ping, later).0, 8, "and not for pings that were refused");
        let reset = frame(3, 0, b"1234");
        passes(&mut frames, &reset, later);
        assert_eq!((0..5).filter(|_| frames.starved().is_ok()).count(), 2, "a quarter of ten");
        frames.sent(1 << 20);
        assert_eq!(passes(&mut frames, &reset, later).0, 0);
        frames.completed();
        assert_eq!(passes(&mut frames, &reset, later).0, 1);
    }

    #[test]
    fn time_gives_back_a_tenth_a_second_however_often_it_is_asked() {
        let update = frame(8, 0, b"1234");
        for pause in [100, 130, 1000] {
            let mut frames = Frames::of_client(FEW, Instant::ZERO);
            let mut starved = 0;
            for step in 0..60_000 / pause {
                let now = Instant::ZERO + Duration::from_millis(step * pause);
                let _ = frames.follow(&update, now);
                starved += u32::from(frames.starved().is_ok());
            }
            // Two at once, and one in five seconds.
            assert!((13..=14).contains(&starved), "{starved} with pauses of {pause} ms");
        }
    }

    #[test]
    fn provoked_resets_have_an_allowance_that_comes_back() {
        let mut frames = Frames::of_client(FEW, Instant::ZERO);
        assert_eq!(frames.erred(20), Ok(()));
        assert_eq!(frames.erred(1), Err(Flood::StreamErrors));
        frames.completed();
        assert_eq!((frames.erred(1), frames.erred(1)), (Ok(()), Err(Flood::StreamErrors)));
        let later = Instant::ZERO + Duration::from_secs(1);
        assert_eq!(frames.follow(b"", later), Ok(()));
        assert_eq!((frames.erred(2), frames.erred(1)), (Ok(()), Err(Flood::StreamErrors)));
    }

    #[test]
    fn a_peer_may_give_up_what_it_may_open() {
        let peer = FEW.of_peer(4000);
        assert_eq!(peer, Allowances { control: 4000, resets: 4000, stream_errors: 4000 });
        assert_eq!(peer.of_peer(1), peer, "and never less than others");
    }

    #[test]
    fn frames_are_followed_however_they_are_cut() {
        let mut all = vec![b'p'; 24];
        all.extend(frame(4, 0, b"123456"));
        all.extend(frame(1, 0, b"abc"));
        let open = all.len();
        all.extend(frame(9, 0x4, b"def"));
        all.extend(frame(0, 1, b""));
        for size in 1..all.len() {
            let mut frames = Frames::of_client(FEW, Instant::ZERO);
            let mut at = 0;
            for piece in all.chunks(size) {
                assert_eq!(frames.follow(piece, Instant::ZERO), Ok(()));
                at += piece.len();
                if at == open {
                    assert!(frames.is_in_block(), "{size}");
                }
            }
            assert!(frames.is_settled() && !frames.is_in_block(), "{size}");
            assert_eq!(frames.blocks(), 1, "{size}");
            assert_eq!((frames.skip, frames.come), (0, 0));
        }
    }
}
