//! Feeds any bytes to `ringway_core::fuzzing::sniff`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ringway_core::fuzzing::sniff(bytes));
