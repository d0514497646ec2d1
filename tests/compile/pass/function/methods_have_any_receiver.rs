//! In inherent and trait implementations, native and under `#[async_trait]`.
#![deny(warnings, clippy::all)]

use std::pin::Pin;
use std::sync::Arc;

use dspinlock::dspinlock;

type Result<T = u64> = std::result::Result<T, dspinlock::Error>;

#[derive(Clone, Default)]
pub struct Shop {
    id: u64,
    name: String,
    sold: Vec<u64>,
}

impl Shop {
    #[dspinlock(key = (&self.name, id))]
    pub async fn by_ref(&self, id: u64) -> Result {
        Ok(self.id + id)
    }

    #[dspinlock(key = self.id)]
    pub async fn by_mut(&mut self, id: u64) -> Result {
        self.sold.push(id);
        Ok(id)
    }

    #[dspinlock(skip(self))]
    pub fn by_mut_sync(&mut self, id: u64) -> Result<&mut u64> {
        self.sold.push(id);
        Ok(&mut self.sold[0])
    }

    #[dspinlock(key = self.name)]
    pub async fn by_value(self) -> Result<Vec<u64>> {
        Ok(self.sold)
    }

    #[dspinlock(key = self.name)]
    pub fn by_mut_value(mut self, id: u64) -> Result<Self> {
        self.sold.push(id);
        Ok(self)
    }

    #[dspinlock(key = self.id)]
    pub async fn boxed(self: Box<Self>) -> Result<String> {
        Ok(self.name)
    }

    #[dspinlock(key = self.id)]
    pub async fn shared(self: Arc<Self>) -> Result<String> {
        Ok(self.name.clone())
    }

    #[dspinlock(key = self.id)]
    pub fn shared_sync(self: &Arc<Self>) -> Result<Arc<Self>> {
        Ok(Arc::clone(self))
    }

    #[dspinlock(key = self.id)]
    pub async fn pinned(mut self: Pin<&mut Self>, id: u64) -> Result<()> {
        self.sold.push(id);
        Ok(())
    }

    #[dspinlock]
    pub async fn associated(id: u64) -> Result {
        Ok(id)
    }

    #[dspinlock(key = Self::LIMIT)]
    pub async fn constant() -> Result {
        Ok(Self::LIMIT)
    }

    const LIMIT: u64 = 7;
}

pub trait Sells {
    type Item;

    fn sell(&mut self, id: u64) -> impl Future<Output = Result<Self::Item>> + Send;

    fn sell_sync(&self, id: u64) -> Self::Item;

    fn outcome(&self) -> Self::Item;

    #[dspinlock(key = id)]
    fn default_body(&self, id: u64) -> Result {
        Ok(id)
    }
}

impl Sells for Shop {
    type Item = Result<u64>;

    #[dspinlock(key = self.id)]
    async fn sell(&mut self, id: u64) -> Result<Self::Item> {
        self.sold.push(id);
        Ok(Ok(id))
    }

    #[dspinlock(key = (self.id, id), cached_if_computed)]
    fn sell_sync(&self, id: u64) -> Self::Item {
        Ok(id)
    }

    #[dspinlock(key = (), on_error = panic, cached_if_computed)]
    fn outcome(&self) -> <Self as Sells>::Item {
        Ok(self.id)
    }
}

#[async_trait::async_trait]
pub trait Stocks {
    async fn stock(&self, id: u64, text: &str) -> Result;
    async fn restock(&mut self, pair: (u64, u64), list: &mut Vec<u64>) -> Result<String>;
    async fn clear(self: Box<Self>, id: String);
    async fn ping()
    where
        Self: Sized;
    async fn count(id: u64) -> Option<u64>
    where
        Self: Sized;
    async fn generic<T: serde::Serialize + Send + 'static>(
        &self,
        part: T,
    ) -> std::result::Result<T, anyhow::Error>
    where
        Self: Sized;

    #[dspinlock(key = (id, self.name()))]
    async fn provided(&self, mut id: u64) -> Result {
        id += 1;
        Ok(id)
    }

    fn name(&self) -> String {
        String::new()
    }
}

#[async_trait::async_trait]
impl Stocks for Shop {
    /// Docs.
    #[dspinlock(key = (self.id, id, "{text}"), cached_if_computed)]
    async fn stock(&self, id: u64, text: &str) -> Result {
        if text.is_empty() {
            return Ok(0);
        }
        let stock = self.by_ref(id).await?;
        Ok(stock + 1)
    }

    #[dspinlock(key = (self.id, low, list.len()))]
    async fn restock(&mut self, (low, mut high): (u64, u64), list: &mut Vec<u64>) -> Result<String> {
        high += 1;
        list.extend(low..high);
        self.sold.append(list);
        Ok(self.name.clone())
    }

    #[dspinlock(key = id, on_error = run_unlocked)]
    async fn clear(mut self: Box<Self>, id: String) {
        self.sold.clear();
        self.name = id;
    }

    #[dspinlock(key = "ping", on_error = panic)]
    async fn ping() {}

    #[dspinlock(on_error = panic, cached_if_computed)]
    async fn count(id: u64) -> Option<u64> {
        let id = id.checked_sub(1)?;
        Some(id)
    }

    #[dspinlock(key = (self.id, &part))]
    async fn generic<T: serde::Serialize + Send + 'static>(
        &self,
        part: T,
    ) -> std::result::Result<T, anyhow::Error> {
        Ok(part)
    }
}

#[async_trait::async_trait(?Send)]
pub trait Local {
    async fn local(&self, unnamed: u64) -> Result;
}

#[async_trait::async_trait(?Send)]
impl Local for std::rc::Rc<std::cell::Cell<u64>> {
    #[dspinlock(key = self.get())]
    async fn local(&self, _: u64) -> Result {
        let other = self.clone();
        std::future::ready(()).await;
        other.set(5);
        Ok(self.get())
    }
}

fn main() {}
