//! Feeds any bytes to `ringway_core::fuzzing::request_head`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ringway_core::fuzzing::request_head(bytes));
