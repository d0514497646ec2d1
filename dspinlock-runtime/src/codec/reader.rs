//! The MessagePack reader of the decoder. It bounds the stack and the memory that hostile bytes can use.
//!
//! `de` calls it. It contains no generic code, so that it is compiled once instead of once per stored type.

use rmp::Marker;

use super::format::{self, MAX_DEPTH, NESTED_NIL, NIL, Undecodable};

/// A map of one pair: a variant with content.
const PAIR: u8 = 0x81;

/// A whole value, or the beginning of a compound: an array or a map.
pub(super) enum Head<'de> {
    Nil,
    /// A `Some`. Its value is next: a nil, or another `Some` around a nil.
    Some,
    Bool(bool),
    Unsigned(u64),
    Signed(i64),
    F32(f32),
    F64(f64),
    Str(&'de str),
    Bin(&'de [u8]),
    Array(usize),
    Map(usize),
}

/// Reads values from bytes.
pub(super) struct Reader<'de> {
    unread: &'de [u8],
    /// How many values of the open compounds have not begun yet. Each value takes at least one byte, so this is never more
    /// than the number of unread bytes.
    announced: usize,
    /// How many more compounds may be opened inside the current one.
    remaining_depth: usize,
    /// How many `Some` were read since the last byte was consumed. Limited, because a recursive `Option` consumes none.
    somes: usize,
    /// How many `Some` of the current nested nil were returned.
    opened: u8,
    /// How many more `Some` of nested nils may be returned. Three bytes announce up to 255, and each may allocate.
    remaining_somes: usize,
    /// The next value, if it is a byte of a `Bin` that is read as a sequence.
    byte: Option<u8>,
    /// How much more memory the value may take, in bytes.
    budget: usize,
    /// The size of the place that is charged for the current value.
    place: usize,
}

impl<'de> Reader<'de> {
    pub(super) fn new(bytes: &'de [u8]) -> Self {
        Self {
            unread: bytes,
            announced: 0,
            remaining_depth: MAX_DEPTH,
            somes: 0,
            opened: 0,
            remaining_somes: bytes.len() + MAX_DEPTH,
            byte: None,
            budget: format::budget(bytes.len()),
            place: 0,
        }
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.unread.is_empty()
    }

    /// Enters a compound.
    pub(super) fn enter(&mut self) -> Result<(), Undecodable> {
        self.remaining_depth = self.remaining_depth.checked_sub(1).ok_or(Undecodable::TooDeep)?;
        Ok(())
    }

    /// Leaves a compound.
    pub(super) fn leave(&mut self) {
        self.remaining_depth += 1;
    }

    /// Begins a value that a compound has announced.
    pub(super) fn begin(&mut self) {
        // Saturating, because a visitor may ask for more values than the compound has.
        self.announced = self.announced.saturating_sub(1);
    }

    /// Makes a byte of a `Bin` the next value, for types that serialize bytes and deserialize a sequence.
    pub(super) fn begin_byte(&mut self, byte: u8) {
        self.byte = Some(byte);
    }

    /// Charges places of this size. The next value takes one of them.
    #[inline]
    pub(super) fn charge_places(&mut self, places: usize, size: usize) -> Result<(), Undecodable> {
        self.place = size;
        self.charge(size.saturating_mul(places))
    }

    /// Charges what a value of this size takes beyond its place: the value is in a box.
    #[inline]
    pub(super) fn charge_box(&mut self, size: usize) -> Result<(), Undecodable> {
        if size <= self.place {
            return Ok(());
        }
        let boxed = size - self.place;
        self.place = size;
        self.charge(boxed)
    }

    #[inline]
    fn charge(&mut self, bytes: usize) -> Result<(), Undecodable> {
        self.budget = self.budget.checked_sub(bytes).ok_or(Undecodable::OverBudget)?;
        Ok(())
    }

    /// Whether an `Option` is a `Some`, whose value is then next. A `None` is consumed.
    pub(super) fn is_some(&mut self) -> Result<bool, Undecodable> {
        self.somes += 1;
        if self.somes > MAX_DEPTH {
            return Err(Undecodable::TooDeep);
        }
        match *self.unread {
            _ if self.byte.is_some() => Ok(true),
            [NIL, ref rest @ ..] => {
                self.consume(rest);
                Ok(false)
            }
            [marker, kind, somes, ref rest @ ..] if [marker, kind] == NESTED_NIL => {
                let is_some = self.opened < somes;
                if is_some {
                    self.remaining_somes = self.remaining_somes.checked_sub(1).ok_or(Undecodable::TooDeep)?;
                    self.opened += 1;
                } else {
                    self.opened = 0;
                    self.consume(rest);
                }
                Ok(is_some)
            }
            _ => Ok(true),
        }
    }

    /// Whether an enum's variant has content. The name is next, then the content.
    pub(super) fn is_pair(&mut self) -> bool {
        match *self.unread {
            [PAIR, ref rest @ ..] if self.byte.is_none() => {
                self.consume(rest);
                // The content. The name counts as begun.
                self.announced += 1;
                true
            }
            _ => false,
        }
    }

    /// Reads the beginning of the next value. The items of a compound are then next.
    #[inline(never)]
    pub(super) fn head(&mut self) -> Result<Head<'de>, Undecodable> {
        if let Some(byte) = self.byte.take() {
            return Ok(Head::Unsigned(byte.into()));
        }
        if self.unread.starts_with(&NESTED_NIL) {
            return Ok(if self.is_some()? { Head::Some } else { Head::Nil });
        }
        let [marker] = self.array()?;
        match Marker::from_u8(marker) {
            Marker::Null => Ok(Head::Nil),
            Marker::False => Ok(Head::Bool(false)),
            Marker::True => Ok(Head::Bool(true)),
            Marker::FixPos(number) => Ok(Head::Unsigned(number.into())),
            Marker::FixNeg(number) => Ok(Head::Signed(number.into())),
            Marker::U8 => Ok(Head::Unsigned(u8::from_be_bytes(self.array()?).into())),
            Marker::U16 => Ok(Head::Unsigned(u16::from_be_bytes(self.array()?).into())),
            Marker::U32 => Ok(Head::Unsigned(u32::from_be_bytes(self.array()?).into())),
            Marker::U64 => Ok(Head::Unsigned(u64::from_be_bytes(self.array()?))),
            Marker::I8 => Ok(Head::Signed(i8::from_be_bytes(self.array()?).into())),
            Marker::I16 => Ok(Head::Signed(i16::from_be_bytes(self.array()?).into())),
            Marker::I32 => Ok(Head::Signed(i32::from_be_bytes(self.array()?).into())),
            Marker::I64 => Ok(Head::Signed(i64::from_be_bytes(self.array()?))),
            Marker::F32 => Ok(Head::F32(f32::from_be_bytes(self.array()?))),
            Marker::F64 => Ok(Head::F64(f64::from_be_bytes(self.array()?))),
            Marker::FixStr(len) => self.str(len.into()),
            Marker::Str8 => self.length8().and_then(|len| self.str(len)),
            Marker::Str16 => self.length16().and_then(|len| self.str(len)),
            Marker::Str32 => self.length32().and_then(|len| self.str(len)),
            Marker::Bin8 => self.length8().and_then(|len| self.bin(len)),
            Marker::Bin16 => self.length16().and_then(|len| self.bin(len)),
            Marker::Bin32 => self.length32().and_then(|len| self.bin(len)),
            Marker::FixArray(len) => self.compound(len.into(), 1),
            Marker::Array16 => self.length16().and_then(|len| self.compound(len, 1)),
            Marker::Array32 => self.length32().and_then(|len| self.compound(len, 1)),
            Marker::FixMap(len) => self.compound(len.into(), 2),
            Marker::Map16 => self.length16().and_then(|len| self.compound(len, 2)),
            Marker::Map32 => self.length32().and_then(|len| self.compound(len, 2)),
            // Extensions other than the nested nil, and the reserved marker.
            _ => Err(Undecodable::Damaged),
        }
    }

    /// Consumes a whole value, without recursion.
    pub(super) fn skip(&mut self) -> Result<(), Undecodable> {
        let mut remaining = 1_usize;
        while remaining > 0 {
            match self.head()? {
                Head::Some => continue,
                Head::Array(len) => remaining += self.begin_all(len),
                Head::Map(len) => remaining += self.begin_all(2 * len),
                _ => {}
            }
            remaining -= 1;
        }
        Ok(())
    }

    /// Begins all values of the compound that was just read.
    fn begin_all(&mut self, values: usize) -> usize {
        self.announced -= values;
        values
    }

    fn consume(&mut self, rest: &'de [u8]) {
        self.unread = rest;
        self.somes = 0;
    }

    fn take(&mut self, len: usize) -> Result<&'de [u8], Undecodable> {
        let (taken, rest) = self.unread.split_at_checked(len).ok_or(Undecodable::TooShort)?;
        self.consume(rest);
        self.charge(len)?;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Undecodable> {
        let (taken, rest) = self.unread.split_first_chunk().ok_or(Undecodable::TooShort)?;
        self.consume(rest);
        Ok(*taken)
    }

    fn length8(&mut self) -> Result<usize, Undecodable> {
        self.array().map(|bytes| u8::from_be_bytes(bytes).into())
    }

    fn length16(&mut self) -> Result<usize, Undecodable> {
        self.array().map(|bytes| u16::from_be_bytes(bytes).into())
    }

    fn length32(&mut self) -> Result<usize, Undecodable> {
        usize::try_from(u32::from_be_bytes(self.array()?)).map_err(|_| Undecodable::TooShort)
    }

    fn str(&mut self, len: usize) -> Result<Head<'de>, Undecodable> {
        let text = str::from_utf8(self.take(len)?).map_err(|_| Undecodable::Damaged)?;
        Ok(Head::Str(text))
    }

    fn bin(&mut self, len: usize) -> Result<Head<'de>, Undecodable> {
        self.take(len).map(Head::Bin)
    }

    /// An array, with one value for each element, or a map, with two values for each pair.
    fn compound(&mut self, len: usize, values_each: usize) -> Result<Head<'de>, Undecodable> {
        let values = len.checked_mul(values_each).ok_or(Undecodable::TooShort)?;
        let announced = self.announced.checked_add(values).ok_or(Undecodable::TooShort)?;
        if announced > self.unread.len() {
            return Err(Undecodable::TooShort);
        }
        self.announced = announced;
        Ok(if values_each == 1 {
            Head::Array(len)
        } else {
            Head::Map(len)
        })
    }
}
