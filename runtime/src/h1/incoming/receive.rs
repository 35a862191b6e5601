//! How a message's bytes get into the buffer: received by the reactor before the reader is woken, or
//! by a call of its own.

use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll};

use ringway_core::message::Fault;

use super::{BURST, Incoming};
use crate::buffer::{MEDIUM, SMALL};

impl Incoming {
    /// Whether something has arrived, or the end has.
    pub(crate) fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let ready = self.reader.poll_readable(cx);
        if ready.is_ready() {
            self.reader.expect_data();
        }
        ready
    }

    /// The same for who reads next, and so may be received for as long as there is no buffer.
    pub(crate) fn poll_arrived(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.buffer.is_some() {
            return self.poll_readable(cx);
        }
        let ready = self.reader.poll_fetched(cx, self.size());
        if ready.is_ready() {
            self.reader.expect_data();
        }
        ready
    }

    /// Receives more of a head; 0 is the end of the stream.
    pub(crate) async fn receive(&mut self) -> Result<usize, Fault> {
        self.make_room();
        self.read_on().await
    }

    /// Receives what is there now of a head: `None` for nothing, 0 for the end.
    pub(crate) fn receive_now(&mut self) -> Result<Option<usize>, Fault> {
        if let Some(fetched) = self.take_fetched() {
            return fetched.map(Some);
        }
        self.make_room();
        let mut buffer = self.buffer.take().unwrap_or_else(|| self.page());
        let read = self.read_raw(&mut buffer[self.end..]);
        self.buffer = Some(buffer);
        if let Ok(Some(n)) = read {
            self.end += n;
        }
        read
    }

    /// Takes what was received already, if there is no buffer yet.
    pub(super) fn take_fetched(&mut self) -> Option<Result<usize, Fault>> {
        if self.buffer.is_some() {
            return None;
        }
        Some(match self.reader.take_fetched()? {
            Ok((buffer, n)) => {
                self.buffer = Some(buffer);
                (self.start, self.end) = (0, n);
                self.received += n as u64;
                Ok(n)
            }
            Err(error) => Err(self.fault(&error)),
        })
    }

    /// Receives into the room behind what is unread.
    pub(super) async fn read_on(&mut self) -> Result<usize, Fault> {
        if self.buffer.is_none() {
            // Waits without a buffer.
            if self.reader.is_drained() {
                poll_fn(|cx| self.poll_arrived(cx)).await;
            }
            if let Some(fetched) = self.take_fetched() {
                return fetched;
            }
            self.buffer = Some(self.page());
        }
        let Some(buffer) = &mut self.buffer else { return Ok(0) };
        let read = self.reader.read(&mut buffer[self.end..]).await;
        let n = read.map_err(|e| self.fault(&e))?;
        self.end += n;
        self.received += n as u64;
        Ok(n)
    }

    /// Sees to it that the buffer has space behind what is unread.
    fn make_room(&mut self) {
        let Some(buffer) = &mut self.buffer else { return };
        if self.end < buffer.len() {
            return;
        }
        if self.start > 0 {
            buffer.copy_within(self.start..self.end, 0);
        } else {
            let mut large = self.buffers.large();
            large[..self.end].copy_from_slice(&buffer[..self.end]);
            *buffer = large;
        }
        (self.start, self.end) = (0, self.end - self.start);
    }

    /// Reads on in a tunnel. What is read at once begins small and grows while reads fill it, so
    /// that whoever waits for a slow peer with little in hand holds little; while nothing comes,
    /// nothing is held. 0 is the end.
    pub(super) async fn read_tunnel(&mut self) -> Result<usize, Fault> {
        self.buffer = None;
        (self.start, self.end) = (0, 0);
        if let Some(fetched) = self.take_fetched() {
            return fetched;
        }
        loop {
            self.burst += 1;
            if self.burst > BURST {
                // One busy stream must not keep the others waiting: go round the loop once.
                self.reader.expect_nothing();
            }
            if self.reader.is_drained() {
                self.burst = 0;
                self.reader.readable().await;
            }
            let mut buffer = match self.full_reads {
                0 => self.buffers.small(),
                1 => self.buffers.medium(),
                _ => self.buffers.large(),
            };
            if let Some(n) = self.read_raw(&mut buffer)? {
                self.full_reads = match self.full_reads {
                    size if n == buffer.len() => (size + 1).min(2),
                    2 if n < MEDIUM => 1,
                    1 if n < SMALL => 0,
                    same => same,
                };
                self.end = n;
                self.buffer = Some(buffer);
                return Ok(n);
            }
        }
    }

    /// Reads what is there, past any buffer: `None` for nothing, 0 for the end.
    fn read_raw(&mut self, buffer: &mut [u8]) -> Result<Option<usize>, Fault> {
        match self.reader.try_read(buffer) {
            Ok(n) => {
                self.received += n as u64;
                Ok(Some(n))
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(self.fault(&error)),
        }
    }
}
