//! The bounded queue to the logging thread, and the guard that waits for that thread at
//! the end. Whoever logs never waits here.

use std::{
    fmt,
    sync::{
        atomic::{AtomicUsize, Ordering::Relaxed},
        mpsc,
    },
    thread,
    time::Duration,
};

use slog::{Drain, Never, OwnedKVList, Record, b, o, record};
use slog_async::{AsyncCore, AsyncGuard};

/// Records that wait at most: about a megabyte, and more than a burst of errors from all
/// parts of a program at once.
const CAPACITY: usize = 4096;

/// How long the end of the program waits for a log that cannot be written.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(3);

/// Hands records to a drain on the logging thread, or drops and counts them when 4,096
/// wait already. The count is logged as soon as there is room.
// In place of slog-async's own front, which counts some of them twice.
pub struct Queue {
    core: AsyncCore,
    dropped: AtomicUsize,
}

impl Queue {
    /// Starts the logging thread with `drain`. It ends when the guard is dropped.
    pub fn new<D>(drain: D) -> (Self, Guard)
    where
        D: Drain<Ok = (), Err = Never> + Send + 'static,
    {
        let core = AsyncCore::custom(drain).chan_size(CAPACITY).thread_name("log".into());
        let (core, guard) = core.build_with_guard();
        (Self { core, dropped: AtomicUsize::new(0) }, Guard(Some(guard)))
    }
}

impl Drain for Queue {
    type Ok = ();
    type Err = Never;

    fn log(&self, record: &Record<'_>, values: &OwnedKVList) -> Result<(), Never> {
        let dropped = self.dropped.swap(0, Relaxed);
        if dropped > 0 {
            let text = format_args!("log records dropped: they came faster than they were written");
            let reported = self.core.log(
                &record!(slog::Level::Warning, "", &text, b!("count" => dropped)),
                &o!().into(),
            );
            if reported.is_err() {
                self.dropped.fetch_add(dropped, Relaxed);
            }
        }
        // Only fails when full.
        if self.core.log(record, values).is_err() {
            self.dropped.fetch_add(1, Relaxed);
        }
        Ok(())
    }
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue").field("dropped", &self.dropped).finish_non_exhaustive()
    }
}

/// Keeps the logging thread. Dropped at the end of the program, it waits until everything
/// is written, for up to 3 s.
#[must_use = "dropped, it ends logging"]
pub struct Guard(Option<AsyncGuard>);

impl Drop for Guard {
    fn drop(&mut self) {
        let guard = self.0.take();
        let (flushed, wait) = mpsc::channel();
        thread::spawn(move || {
            drop(guard);
            // The receiver may have gone: then nobody waits.
            let _ = flushed.send(());
        });
        let _ = wait.recv_timeout(FLUSH_TIMEOUT);
    }
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use slog::{Logger, info};

    use super::*;

    /// A terminal that nobody reads.
    struct Stalled(mpsc::Receiver<()>, mpsc::Sender<String>);

    impl Drain for Stalled {
        type Ok = ();
        type Err = Never;

        fn log(&self, record: &Record<'_>, values: &OwnedKVList) -> Result<(), Never> {
            let _ = self.0.recv();
            let mut all = format!("{:?}", record.msg());
            let mut add =
                |key: &str, value: &dyn ToString| all += &format!(" {key}={}", value.to_string());
            let mut pairs = Pairs(&mut add);
            slog::KV::serialize(values, record, &mut pairs).unwrap();
            slog::KV::serialize(&record.kv(), record, &mut pairs).unwrap();
            let _ = self.1.send(all);
            Ok(())
        }
    }

    struct Pairs<'a>(&'a mut dyn FnMut(&str, &dyn ToString));

    impl slog::Serializer for Pairs<'_> {
        fn emit_arguments(&mut self, key: slog::Key, value: &fmt::Arguments<'_>) -> slog::Result {
            (self.0)(key, value);
            Ok(())
        }
    }

    #[test]
    fn stalled_log_drops_and_counts_instead_of_waiting() {
        let (go, wait) = mpsc::channel();
        let (written, lines) = mpsc::channel();
        let (queue, guard) = Queue::new(Stalled(wait, written));
        let log = Logger::root(queue, o!());
        for number in 0..CAPACITY + 100 {
            info!(log, "{number}");
        }
        // Nothing is waited for from here on.
        drop(go);
        assert_eq!(lines.recv().unwrap(), "0");
        while lines.recv().unwrap() != (CAPACITY - 1).to_string() {}
        info!(log, "after");
        drop(guard);
        let rest: Vec<_> = lines.try_iter().collect();
        let report = rest.iter().find(|line| line.contains("dropped")).unwrap();
        let count: usize = report.rsplit('=').next().unwrap().parse().unwrap();
        // One record may be on its way to the terminal.
        assert!((99..=100).contains(&count), "{report}");
        assert_eq!(rest.last().unwrap(), "after");
    }
}
