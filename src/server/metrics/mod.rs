//! `/metrics` on control: what there is to measure, for Prometheus, in the text format of
//! OpenMetrics 1.0, or in Prometheus' older one for whoever does not ask for that.
//!
//! Reads the counters that are there anyway, when somebody asks: there is no second set,
//! and nobody who asks costs the frames anything. What is measured stands in `families`.

mod families;
mod process;

use std::fmt;

use actix_web::HttpResponse;
use etherws_actors::{
    control::{Control, ControlError},
    message::{PortSurvey, Survey},
};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, MetricEncoder, text},
    metrics::MetricType,
    registry::Registry,
};

use self::{
    families::{FAMILIES, Labels, Value},
    process::Process,
};
use crate::api::{Answer as Body, one_at_a_time};

use super::{
    certificates::Certificate,
    counters::Count,
    endpoint::ControlService,
    refusal::{Refusal, Refused},
    request::Request,
    resource::Answer,
    status::{Listener, Status},
};

/// Where metrics are; where Prometheus looks unless told otherwise.
pub(crate) const PATH: &str = "/metrics";

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const PLAIN: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Answers with all metrics.
pub(super) fn get<'a>(control: &'a ControlService, request: &'a Request<'a>) -> Answer<'a> {
    Box::pin(async {
        let gone = |_| Refusal::new(Refused::Busy, "The switch has stopped");
        let scrape = scrape(&control.control, &control.status).await.map_err(gone)?;
        let accept = request.headers.text("accept");
        let is_open = accept.is_some_and(|accept| accept.contains("application/openmetrics-text"));
        // A thousand ports are 5 MB of text, and this thread has frames to forward.
        let work = move || if is_open { write(scrape) } else { to_plain(&write(scrape)) };
        let full = |refusal: crate::refusal::Refusal| {
            Refusal::new(Refused::Busy, refusal.text().to_owned())
        };
        let metrics = one_at_a_time(work).await.and_then(Body::of).map_err(full)?;
        let kind = if is_open { OPEN_METRICS } else { PLAIN };
        Ok(HttpResponse::Ok().content_type(kind).body(metrics))
    })
}

/// All that is measured.
#[derive(Debug)]
struct Scrape {
    survey: Survey,
    ports: Vec<PortSurvey>,
    listeners: Vec<ListenerSurvey>,
    sessions: (usize, usize),
    watchers: usize,
    certificates: Vec<Certificate>,
    process: Process,
}

/// What is measured of a listener.
#[derive(Debug)]
struct ListenerSurvey {
    service: &'static str,
    connections: usize,
    accepted: u64,
    sessions: u64,
    tls_failures: u64,
    refused: Vec<(Refused, u64)>,
}

impl From<&Listener> for ListenerSurvey {
    fn from(Listener { service, counters, pending, .. }: &Listener) -> Self {
        Self {
            service,
            connections: pending.count(),
            accepted: counters.get(Count::Accepted),
            sessions: counters.get(Count::Sessions),
            tls_failures: counters.get(Count::TlsFailures),
            refused: Refused::ALL.map(|reason| (reason, counters.refused(reason))).to_vec(),
        }
    }
}

/// Measures.
async fn scrape(control: &Control, status: &Status) -> Result<Scrape, ControlError> {
    Ok(Scrape {
        survey: control.survey().await?,
        ports: control.survey_ports().await?,
        listeners: status.listeners().iter().map(ListenerSurvey::from).collect(),
        sessions: (status.sessions.count(), status.sessions.limit()),
        watchers: status.monitor.watchers(),
        certificates: status.certificates.list(),
        process: Process::measure(status.started),
    })
}

/// Written down as OpenMetrics.
fn write(scrape: Scrape) -> String {
    let mut metrics = Registry::default();
    metrics.register_collector(Box::new(scrape));
    let mut out = String::new();
    // A string takes whatever is written to it.
    let _ = text::encode(&mut out, &metrics);
    out
}

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        for family in FAMILIES {
            let mut metrics = encoder.encode_descriptor(
                family.name,
                family.help,
                family.unit.as_ref(),
                family.kind,
            )?;
            for (labels, value) in (family.samples)(self) {
                if labels.is_empty() {
                    encode(&mut metrics, family.kind, value)?;
                } else {
                    encode(&mut metrics.encode_family(&labels)?, family.kind, value)?;
                }
            }
        }
        Ok(())
    }
}

fn encode(metric: &mut MetricEncoder<'_>, kind: MetricType, value: Value) -> fmt::Result {
    match (kind, value) {
        (MetricType::Counter, Value::Count(count)) => {
            metric.encode_counter::<Labels, _, u64>(&count, None)
        }
        (MetricType::Counter, Value::Real(value)) => {
            metric.encode_counter::<Labels, _, u64>(&value, None)
        }
        (_, Value::Count(count)) => metric.encode_gauge(&count),
        (_, Value::Real(value)) => metric.encode_gauge(&value),
    }
}

/// OpenMetrics as Prometheus' text format 0.0.4: a counter has its `_total` in the
/// descriptions as well, and units and the end are not told.
fn to_plain(metrics: &str) -> String {
    let mut plain = String::with_capacity(metrics.len());
    // The type comes after the help, whose name depends on it.
    let mut help = "";
    for line in metrics.lines() {
        match line.strip_prefix("# ").and_then(|line| line.split_once(' ')) {
            Some(("HELP", rest)) => help = rest,
            Some(("TYPE", rest)) => {
                let (name, kind) = rest.split_once(' ').unwrap_or((rest, "untyped"));
                let text = help.strip_prefix(name).unwrap_or_default();
                let suffix = if kind == "counter" { "_total" } else { "" };
                plain.push_str(&format!("# HELP {name}{suffix}{text}\n"));
                plain.push_str(&format!("# TYPE {name}{suffix} {kind}\n"));
            }
            Some(_) => {}
            None if line.starts_with('#') => {}
            None => {
                plain.push_str(line);
                plain.push('\n');
            }
        }
    }
    plain
}
