//! What the end of a connection is counted as, when its peer is to blame.

use h2::Reason;
use ringway_core::wire::h2::flood::Flood;

use crate::metrics::Counter;

/// What such a flood is counted as.
pub(crate) const fn flooded(flood: Flood) -> Counter {
    match flood {
        Flood::Priority => Counter::FloodPriority,
        Flood::Reset => Counter::FloodReset,
        Flood::Settings => Counter::FloodSettings,
        Flood::Ping => Counter::FloodPing,
        Flood::WindowUpdate => Counter::FloodWindowUpdate,
        Flood::Other => Counter::FloodOther,
        Flood::Stall => Counter::FloodStall,
        Flood::StreamErrors => Counter::FloodStreamErrors,
    }
}

/// What an end that the `h2` crate has brought about is counted as. It names the limit that was
/// crossed in a GOAWAY's debug data and nowhere else.
pub(crate) fn failed(error: &h2::Error) -> Counter {
    if error.reason() != Some(Reason::ENHANCE_YOUR_CALM) {
        return Counter::ProtocolErrors;
    }
    let text = error.to_string();
    let named = [
        ("too_many_internal_resets", Counter::FloodStreamErrors),
        ("too_many_resets", Counter::FloodReset),
        ("too_many_continuations", Counter::FloodHeaders),
        ("header_list", Counter::FloodHeaders),
        ("data_frames", Counter::FloodData),
    ];
    let known = named.into_iter().find(|(name, _)| text.contains(name));
    known.map_or(Counter::FloodOther, |(_, counter)| counter)
}
