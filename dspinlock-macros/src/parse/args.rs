//! The arguments of the attribute, and which kind of value each takes. `expand` calls it; `value` reads the values.

use std::time::Duration;

use proc_macro2::{Ident, TokenStream};
use syn::ext::IdentExt;
use syn::parse::{ParseStream, Parser};
use syn::{Expr, LitStr, Path, Token};

use crate::errors::Errors;
use crate::parse::value::{Arg, OnError, Setting, ValueReader, Wait};

/// The arguments as the user wrote them. An argument that is not given is `None`.
#[derive(Default)]
pub(crate) struct Args {
    pub(crate) key: Option<Arg<Vec<Expr>>>,
    pub(crate) skip: Option<Arg<Vec<Ident>>>,
    pub(crate) name: Option<Arg<LitStr>>,
    pub(crate) prefix: Option<Arg<LitStr>>,
    pub(crate) version: Option<Arg<u32>>,
    pub(crate) label: Option<Arg<LitStr>>,
    pub(crate) validate: Option<Arg<Vec<Expr>>>,
    pub(crate) err_ttl: Option<Arg<Setting<Duration>>>,
    pub(crate) on_busy: Option<Arg<()>>,
    pub(crate) on_store_error: Option<Arg<()>>,
    pub(crate) on_lease_lost: Option<Arg<()>>,
    pub(crate) detach: Option<Arg<bool>>,
    /// `entry = name`: the name of a function beside this one.
    pub(crate) entry: Option<Arg<Ident>>,
    pub(crate) pool: Option<Arg<Expr>>,
    pub(crate) cached_if_computed: Option<Arg<bool>>,
    pub(crate) near_cache: Option<Arg<Setting<Duration>>>,
    pub(crate) fail_if_key_exists: Option<Arg<bool>>,
    pub(crate) max_spinlock_tries: Option<Arg<Setting<u32>>>,
    pub(crate) spinlock_sleep_thresh: Option<Arg<Setting<Duration>>>,
    pub(crate) wait: Option<Arg<Wait>>,
    pub(crate) ttl: Option<Arg<Setting<Duration>>>,
    pub(crate) max_block_time: Option<Arg<Setting<Duration>>>,
    pub(crate) lease: Option<Arg<Setting<Duration>>>,
    pub(crate) replicas: Option<Arg<Setting<u32>>>,
    pub(crate) map_err: Option<Arg<Expr>>,
    pub(crate) on_error: Option<Arg<OnError>>,
    /// `crate = path`
    pub(crate) dspinlock: Option<Arg<Path>>,
}

impl Args {
    /// `name = ""`: Python may know the key.
    pub(crate) fn is_shared(&self) -> bool {
        self.name
            .as_ref()
            .is_some_and(|name| name.value.value().is_empty())
    }

    /// Reads every argument, but stops at a syntax error, because the start of the next argument is then unknown.
    pub(crate) fn parse(tokens: TokenStream, errors: &mut Errors) -> Self {
        let mut args = Self::default();
        let parser = |input: ParseStream| args.read_all(input, errors);
        let result = parser.parse2(tokens);
        if let Err(error) = result {
            errors.push(error);
        }
        args
    }

    fn read_all(&mut self, input: ParseStream, errors: &mut Errors) -> syn::Result<()> {
        while !input.is_empty() {
            let name = input.call(Ident::parse_any)?;
            self.read(ValueReader::new(name, input, errors))?;
            if !input.is_empty() {
                input.parse::<Token![,]>()?;
            }
        }
        Ok(())
    }

    fn read(&mut self, value: ValueReader) -> syn::Result<()> {
        match value.name().to_string().as_str() {
            "key" => value.read_into(&mut self.key, ValueReader::key),
            "skip" => value.read_into(&mut self.skip, ValueReader::skip),
            "name" => value.read_into(&mut self.name, ValueReader::text),
            "prefix" => value.read_into(&mut self.prefix, ValueReader::text),
            "version" => value.read_into(&mut self.version, ValueReader::number),
            "label" => value.read_into(&mut self.label, ValueReader::label),
            "validate" => value.read_into(&mut self.validate, ValueReader::key),
            "err_ttl" => value.read_into(&mut self.err_ttl, ValueReader::duration),
            "on_busy" => value.read_into(&mut self.on_busy, ValueReader::on_busy),
            "on_store_error" => value.read_into(&mut self.on_store_error, ValueReader::on_store_error),
            "on_lease_lost" => value.read_into(&mut self.on_lease_lost, ValueReader::on_lease_lost),
            "detach" => value.read_into(&mut self.detach, ValueReader::flag),
            "entry" => value.read_into(&mut self.entry, ValueReader::ident),
            "pool" => value.read_into(&mut self.pool, ValueReader::expression),
            "cached_if_computed" => value.read_into(&mut self.cached_if_computed, ValueReader::flag),
            "near_cache" => value.read_into(&mut self.near_cache, ValueReader::duration),
            "fail_if_key_exists" => value.read_into(&mut self.fail_if_key_exists, ValueReader::flag),
            "max_spinlock_tries" => value.read_into(&mut self.max_spinlock_tries, ValueReader::count),
            "spinlock_sleep_thresh" => {
                value.read_into(&mut self.spinlock_sleep_thresh, ValueReader::duration)
            }
            "wait" => value.read_into(&mut self.wait, ValueReader::wait),
            "ttl" | "expire_at_timedelta" => value.read_into(&mut self.ttl, ValueReader::duration),
            "max_block_time" => value.read_into(&mut self.max_block_time, ValueReader::duration),
            "lease" => value.read_into(&mut self.lease, ValueReader::duration),
            "replicas" => value.read_into(&mut self.replicas, ValueReader::count),
            "map_err" => value.read_into(&mut self.map_err, ValueReader::function),
            "on_error" => value.read_into(&mut self.on_error, ValueReader::on_error),
            "crate" => value.read_into(&mut self.dspinlock, ValueReader::path),
            _ => value.skip_unknown(),
        }
    }
}

/// Whether a flag is given and is not `false`.
pub(crate) fn is_on(flag: &Option<Arg<bool>>) -> bool {
    flag.as_ref().is_some_and(|flag| flag.value)
}
