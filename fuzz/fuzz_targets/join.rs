#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| etherws::fuzz::join(data));
