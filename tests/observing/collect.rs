//! Collects the spans and events of this process.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Mutex, Once, PoisonError};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;

/// A closed span or an event of the library.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Item {
    pub(crate) is_span: bool,
    pub(crate) level: Option<Level>,
    /// The name of a span.
    pub(crate) name: String,
    /// The name of the span around it.
    pub(crate) parent: Option<String>,
    pub(crate) fields: BTreeMap<String, String>,
}

impl Item {
    #[track_caller]
    pub(crate) fn field(&self, name: &str) -> &str {
        let field = self.fields.get(name);
        field.unwrap_or_else(|| panic!("no field {name} in {self:?}"))
    }
}

static ITEMS: Mutex<Vec<Item>> = Mutex::new(Vec::new());

struct Collector;

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Collector {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let span = context.span(id).expect("the span exists");
        let mut item = Item {
            is_span: true,
            level: Some(*attributes.metadata().level()),
            name: attributes.metadata().name().into(),
            parent: span.parent().map(|parent| parent.name().into()),
            ..Item::default()
        };
        attributes.record(&mut Fields(&mut item));
        span.extensions_mut().insert(item);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let span = context.span(id).expect("the span exists");
        if let Some(item) = span.extensions_mut().get_mut::<Item>() {
            values.record(&mut Fields(item));
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut item = Item {
            level: Some(*event.metadata().level()),
            parent: context.event_span(event).map(|span| span.name().into()),
            ..Item::default()
        };
        event.record(&mut Fields(&mut item));
        if event.metadata().target() == "dspinlock" || event.metadata().target() == module_path!() {
            keep(item);
        }
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        let span = context.span(&id).expect("the span exists");
        if span.metadata().target() == "dspinlock"
            && let Some(item) = span.extensions_mut().remove::<Item>()
        {
            keep(item);
        }
    }
}

struct Fields<'a>(&'a mut Item);

impl Visit for Fields<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.fields.insert(field.name().into(), value.into());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.fields.insert(field.name().into(), format!("{value:?}"));
    }
}

fn keep(item: Item) {
    ITEMS.lock().unwrap_or_else(PoisonError::into_inner).push(item);
}

/// Collects from now on. Call it at the start of each test.
pub(crate) fn start() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let subscriber = tracing_subscriber::registry().with(Collector);
        tracing::subscriber::set_global_default(subscriber).expect("no other subscriber is set");
    });
}

/// What the calls of this site have left so far.
pub(crate) fn items_of(site: &str) -> Vec<Item> {
    let items = ITEMS.lock().unwrap_or_else(PoisonError::into_inner);
    let is_of_site = |item: &&Item| item.fields.get("site").is_some_and(|of| of.ends_with(site));
    items.iter().filter(is_of_site).cloned().collect()
}

/// Everything so far, as text.
pub(crate) fn text() -> String {
    format!("{:?}", ITEMS.lock().unwrap_or_else(PoisonError::into_inner))
}

/// An event of a body.
pub(crate) fn event(site: &'static str) {
    tracing::info!(target: module_path!(), site, "in the body");
}
