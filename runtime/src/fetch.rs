//! Receives made for readers before they are woken, all of a turn together. A buffer is taken when
//! something has come, so whoever waits has none.

use std::os::fd::RawFd;

use io_uring::{opcode, squeue, types};

use crate::batch::Operations;
use crate::buffer::Buffer;
use crate::socket::calls::recv;

/// What was received for a reader.
pub(crate) struct Fetched {
    pub(crate) buffer: Buffer,
    /// The bytes from its start, or an error's number below zero.
    pub(crate) result: i32,
}

/// A receive for the reader of a place in the set.
pub(crate) struct Fetch {
    pub(crate) key: usize,
    fd: RawFd,
    buffer: Buffer,
    result: Option<i32>,
}

impl Fetch {
    pub(crate) const fn new(key: usize, fd: RawFd, buffer: Buffer) -> Self {
        Self { key, fd, buffer, result: None }
    }

    /// What came; `None` when it is to be tried by the reader itself.
    pub(crate) fn fetched(self) -> Option<Fetched> {
        let Self { buffer, result, .. } = self;
        let result = result?;
        let again = matches!(-result, libc::EAGAIN | libc::EINTR);
        (!again).then_some(Fetched { buffer, result })
    }
}

impl Operations for Vec<Fetch> {
    fn count(&self) -> usize {
        self.len()
    }

    fn is_made(&self, at: usize) -> bool {
        self[at].result.is_some()
    }

    fn entry(&mut self, at: usize) -> squeue::Entry {
        let Fetch { fd, buffer, .. } = &mut self[at];
        // Buffers are far below 4 GiB.
        opcode::Recv::new(types::Fd(*fd), buffer.as_mut_ptr(), buffer.len() as u32)
            .flags(libc::MSG_DONTWAIT)
            .build()
    }

    fn call(&mut self, at: usize) -> i32 {
        let Fetch { fd, buffer, .. } = &mut self[at];
        match recv(*fd, buffer, libc::MSG_DONTWAIT) {
            // And below 2 GiB.
            Ok(received) => received as i32,
            Err(error) => -error.raw_os_error().unwrap_or(libc::EIO),
        }
    }

    fn made(&mut self, at: usize, result: i32) {
        self[at].result = Some(result);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::future::{Future, poll_fn};
    use std::io::Write;
    use std::os::unix::net::UnixStream;
    use std::task::{Context, Poll, Waker};

    use io_uring::IoUring;
    use monoio::{LegacyDriver, RuntimeBuilder};

    use crate::batch::Batch;
    use crate::buffer::{Buffers, SMALL, Size};
    use crate::reactor::Reactor;
    use crate::socket::{self, Reader};
    use crate::timers::Timers;

    /// Runs a test on a reactor with a ring for batches, and on one without.
    fn both<T: Future<Output = ()>>(test: impl Fn(Buffers) -> T) {
        for ring in [None, Some(IoUring::new(8).unwrap())] {
            let mut event_loop = RuntimeBuilder::<LegacyDriver>::new().build().unwrap();
            event_loop.block_on(async {
                Reactor::install(false, Batch::new(ring)).unwrap();
                let (reactor, buffers) = (Reactor::here().unwrap(), Buffers::default());
                let driven = reactor.drive(Timers::default(), buffers.clone()).unwrap();
                monoio::spawn(driven);
                test(buffers).await;
            });
        }
    }

    fn pair() -> (Reader, UnixStream) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        (socket::split(ours.into()).unwrap().0, theirs)
    }

    /// Gives the worker the turns in which it notices what another socket is told.
    async fn some_turns() {
        for _ in 0..2 {
            let (mut reader, mut theirs) = pair();
            theirs.write_all(b"x").unwrap();
            reader.readable().await;
        }
    }

    fn waits(reader: &mut Reader) {
        let mut nobody = Context::from_waker(Waker::noop());
        assert_eq!(reader.poll_fetched(&mut nobody, Size::Small), Poll::Pending);
    }

    fn taken(reader: &mut Reader) -> Option<Vec<u8>> {
        reader.take_fetched().map(|fetched| {
            let (buffer, n) = fetched.unwrap();
            buffer[..n].to_vec()
        })
    }

    #[test]
    fn what_comes_for_many_is_there_when_they_are_woken() {
        both(|_| async {
            let mut pairs: Vec<_> = (0..20).map(|_| pair()).collect();
            pairs.iter_mut().for_each(|(reader, _)| waits(reader));
            for (at, (_, theirs)) in pairs.iter_mut().enumerate() {
                theirs.write_all(&[at as u8; 3]).unwrap();
            }
            for (at, (reader, _)) in pairs.iter_mut().enumerate() {
                poll_fn(|cx| reader.poll_fetched(cx, Size::Small)).await;
                assert_eq!(taken(reader).unwrap(), [at as u8; 3]);
                waits(reader);
            }
        });
    }

    #[test]
    fn a_wait_that_is_given_up_loses_nothing() {
        both(|buffers| async move {
            let (mut reader, mut theirs) = pair();
            waits(&mut reader);
            theirs.write_all(b"first").unwrap();
            some_turns().await;
            theirs.write_all(b" second").unwrap();
            some_turns().await;
            assert_eq!(taken(&mut reader).unwrap(), b"first", "received though nobody waits");
            let mut rest = [0; 16];
            let n = reader.read(&mut rest).await.unwrap();
            assert_eq!(&rest[..n], b" second");
            // And who goes for good leaves no buffer behind.
            waits(&mut reader);
            theirs.write_all(b"third").unwrap();
            some_turns().await;
            assert_eq!(buffers.free_bytes(), 0);
            drop(reader);
            assert_eq!(buffers.free_bytes(), SMALL);
        });
    }

    #[test]
    fn nothing_is_received_for_who_waits_otherwise_or_has_taken_all() {
        both(|buffers| async move {
            let (mut reader, mut theirs) = pair();
            waits(&mut reader);
            let mut nobody = Context::from_waker(Waker::noop());
            assert!(reader.poll_readable(&mut nobody).is_pending());
            theirs.write_all(b"some").unwrap();
            some_turns().await;
            assert!(taken(&mut reader).is_none());
            assert_eq!(reader.read(&mut [0; 16]).await.unwrap(), 4);
            waits(&mut reader);
            assert!(taken(&mut reader).is_none());
            theirs.write_all(b"more").unwrap();
            some_turns().await;
            assert!(taken(&mut reader).is_none());
            assert_eq!(buffers.free_bytes(), 0, "no buffer was ever needed");
        });
    }

    #[test]
    fn an_end_is_left_to_the_reader() {
        both(|_| async {
            let (mut reader, mut theirs) = pair();
            waits(&mut reader);
            theirs.write_all(b"last").unwrap();
            drop(theirs);
            poll_fn(|cx| reader.poll_fetched(cx, Size::Small)).await;
            assert!(taken(&mut reader).is_none());
            reader.expect_data();
            assert_eq!(reader.read(&mut [0; 16]).await.unwrap(), 4);
            assert_eq!(reader.read(&mut [0; 16]).await.unwrap(), 0);
        });
    }
}
