//! Work that devices leave on a frame, done in software: super-frames are cut and joined,
//! checksums finished. Queues, devices, mirrors and tunnels use it alike.

pub(crate) mod checksum;
pub(crate) mod coalesce;
pub(crate) mod encapsulated;
pub(crate) mod finish;
pub(crate) mod segment;
