//! What the `h2` crate is set to, and what is allowed of a peer: the configuration's limits, with
//! more room where the peer carries the requests of many clients.

use h2::{client, server};
use ringway_config::Http2;
use ringway_core::wire::h2::flood::{Allowances, Frames};
use ringway_core::wire::h2::sent::Sent;

use super::link::{Link, Watch};
use crate::clock;
use crate::settings::Settings;

/// Streams reset for what the peer did on them, at the most, in multiples of what is allowed at
/// once. The crate has no more than such a number for a connection's life, which bounds what a peer
/// can make it remember; before it is reached the connection is replaced.
const LIFE: u32 = 8;
/// Small DATA frames on a shared connection that may wait, in the crate's unit of 256 bytes each.
const SMALL_FRAMES: usize = 64 << 10 << 8;

/// What is allowed of a peer.
pub(crate) fn allowances(limits: &Http2, shared: bool) -> Allowances {
    let allowances = Allowances {
        control: limits.control_frames,
        resets: limits.resets,
        stream_errors: limits.stream_errors,
    };
    if shared { allowances.of_peer(limits.peer_streams) } else { allowances }
}

/// Of a client's connection.
pub(crate) fn watch_client(limits: &Http2, shared: bool) -> Watch {
    let frames = Frames::of_client(allowances(limits, shared), clock::recent());
    Watch { frames, sent: Sent::default(), shared }
}

/// Of an endpoint's.
pub(super) fn watch_endpoint(limits: &Http2, shared: bool) -> Watch {
    let frames = Frames::of_endpoint(allowances(limits, shared), clock::recent());
    Watch { frames, sent: Sent::as_client(), shared }
}

/// Whether the peer has provoked so much, however slowly, that the connection is better replaced.
pub(crate) fn is_worn(link: &Link, limits: &Http2, shared: bool) -> bool {
    let allowed = allowances(limits, shared).stream_errors;
    link.provoked() >= allowed.saturating_mul(LIFE) / 2
}

/// As a server.
pub(crate) fn server(settings: &Settings, shared: bool) -> server::Builder {
    let limits = &settings.http2;
    let allowed = allowances(limits, shared);
    let mut builder = server::Builder::new();
    builder
        .max_concurrent_streams(streams(limits, shared))
        .initial_window_size(size(limits.stream_window))
        .initial_connection_window_size(size(window(limits, shared)))
        .max_send_buffer_size(limits.send_bytes)
        .max_header_list_size(size(settings.head.head_bytes))
        .max_concurrent_reset_streams(count(allowed.stream_errors))
        // Counted where they arrive: a stream that is given up at once is no worse than another.
        .max_pending_accept_reset_streams(count(allowed.resets))
        .max_local_error_reset_streams(Some(count(allowed.stream_errors.saturating_mul(LIFE))))
        .enable_connect_protocol();
    if shared {
        builder.data_frame_budget(SMALL_FRAMES);
    }
    builder
}

/// As a client.
pub(super) fn client(settings: &Settings, shared: bool) -> client::Builder {
    let limits = &settings.http2;
    let allowed = allowances(limits, shared);
    let mut builder = client::Builder::new();
    builder
        .enable_push(false)
        .initial_window_size(size(limits.stream_window))
        // Meshed or not: whoever waits on one stream knows nothing of the clients of the others.
        .initial_connection_window_size(size(window(limits, true)))
        .max_send_buffer_size(limits.send_bytes)
        .max_header_list_size(size(settings.head.head_bytes))
        // What still comes for a stream that was given up is known as such.
        .max_concurrent_reset_streams(count(allowed.resets))
        .max_local_error_reset_streams(Some(count(allowed.stream_errors.saturating_mul(LIFE))));
    if shared {
        builder.data_frame_budget(SMALL_FRAMES);
    }
    builder
}

const fn streams(limits: &Http2, shared: bool) -> u32 {
    if shared { limits.peer_streams } else { limits.streams }
}

fn window(limits: &Http2, shared: bool) -> usize {
    if shared { limits.peer_window.max(limits.connection_window) } else { limits.connection_window }
}

/// A setting of the protocol; the configuration's bounds see to it that it fits.
fn size(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(i32::MAX as u32)
}

const fn count(some: u32) -> usize {
    some as usize
}
