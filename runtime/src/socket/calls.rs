//! The system calls that move bytes, past what std and libc would add to them.

#![allow(unsafe_code, reason = "recv, sendmsg and poll have no safe non-blocking wrapper in std")]

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::RawFd;

/// What of `events` holds now, with what always counts (an error, a hang-up).
pub(super) fn poll(fd: RawFd, events: libc::c_short) -> libc::c_short {
    let mut polled = libc::pollfd { fd, events, revents: 0 };
    // SAFETY: `polled` is one pollfd that outlives the call.
    let _ = uninterrupted(|| unsafe { libc::poll(&raw mut polled, 1, 0) as isize });
    polled.revents
}

// recv and send go straight to the kernel: libc's wrappers are cancellation points, which costs
// every call of a process with threads.

pub(crate) fn recv(fd: RawFd, buffer: &mut [u8], flags: i32) -> io::Result<usize> {
    // SAFETY: what is initialised stays so, as the kernel only ever writes bytes.
    let buffer = unsafe { &mut *(std::ptr::from_mut(buffer) as *mut [MaybeUninit<u8>]) };
    recv_uninit(fd, buffer, flags)
}

/// As many bytes as are returned are then initialised.
pub(super) fn recv_uninit(
    fd: RawFd,
    buffer: &mut [MaybeUninit<u8>],
    flags: i32,
) -> io::Result<usize> {
    let (start, length) = (buffer.as_mut_ptr(), buffer.len());
    // SAFETY: the pointer and length describe `buffer`, which outlives the call.
    uninterrupted(|| unsafe {
        libc::syscall(libc::SYS_recvfrom, fd, start, length, flags, 0_usize, 0_usize) as isize
    })
}

/// How everything is sent: never waiting, never with a signal.
pub(crate) const SENDING: i32 = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;

pub(crate) fn send(fd: RawFd, parts: &[IoSlice<'_>]) -> io::Result<usize> {
    if let [only] = parts {
        // SAFETY: the pointer and length describe `only`, which outlives the call.
        return uninterrupted(|| unsafe {
            libc::syscall(
                libc::SYS_sendto,
                fd,
                only.as_ptr(),
                only.len(),
                SENDING,
                0_usize,
                0_usize,
            ) as isize
        });
    }
    // SAFETY: all-zero is a valid msghdr.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = parts.as_ptr().cast_mut().cast();
    message.msg_iovlen = parts.len();
    // SAFETY: IoSlice is ABI-compatible with iovec; the slices outlive the call, which only reads
    // through them.
    uninterrupted(|| unsafe {
        libc::syscall(libc::SYS_sendmsg, fd, &raw const message, SENDING) as isize
    })
}

/// The result of a system call, made again when a signal came in between.
pub(super) fn uninterrupted(mut call: impl FnMut() -> isize) -> io::Result<usize> {
    loop {
        if let Ok(n) = usize::try_from(call()) {
            return Ok(n);
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}
