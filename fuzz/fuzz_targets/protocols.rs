#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| etherws_actors::fuzz::protocols(data));
