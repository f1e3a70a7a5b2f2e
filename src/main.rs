mod daemon;
mod logging;
mod server;

fn main() {}
